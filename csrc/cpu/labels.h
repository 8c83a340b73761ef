// Labels of any width: their type, their range, and vectors of them.
#pragma once

#include <limits>
#include <type_traits>

#include "cpu/simd.h"

#define EQUISHARE_MEMBER __attribute__((always_inline))

namespace equishare::EQUISHARE_ISA {
namespace {

constexpr bool little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

// Calls f with a pointer of the labels' own type, which is not u4.
template <class F>
EQUISHARE_INLINE auto with_labels(const Labels& labels, F f) {
  switch (labels.type) {
    case LabelType::u8:
      return f(static_cast<const uint8_t*>(labels.data));
    case LabelType::i16:
      return f(static_cast<const int16_t*>(labels.data));
    case LabelType::i32:
      return f(static_cast<const int32_t*>(labels.data));
    case LabelType::i64:
    case LabelType::u4:
      break;
  }
  return f(static_cast<const int64_t*>(labels.data));
}

// Labels are checked a block at a time, just before the block is used and while it is in the cache.
constexpr int64_t label_block = 4096;

constexpr int64_t bits_of(LabelType type) {
  constexpr int64_t bits[] = {8, 16, 32, 64, 4};
  return bits[static_cast<int>(type)];
}

// Labels of two a byte; `at` is even.
EQUISHARE_INLINE const uint8_t* packed_at(const Labels& labels, int64_t at) {
  return static_cast<const uint8_t*>(labels.data) + at / 2;
}

EQUISHARE_INLINE void unpack(const uint8_t* packed, int64_t count, uint8_t* out) {
  for (int64_t k = 0; k < count / 2; ++k) {
    out[2 * k] = packed[k] & 15;
    out[2 * k + 1] = packed[k] >> 4;
  }
  if (count % 2) out[count - 1] = packed[count / 2] & 15;
}

[[gnu::noinline]] bool all_packed_below(const uint8_t* packed, int64_t count, int64_t groups) {
  if (groups > 15) return true;
  uint8_t greatest = count % 2 ? packed[count / 2] & 15 : 0;
  for (int64_t k = 0; k < count / 2; ++k) {
    const uint8_t low = packed[k] & 15, high = packed[k] >> 4, label = low > high ? low : high;
    greatest = label > greatest ? label : greatest;
  }
  return count == 0 || greatest < groups;
}

// Whether all labels lie in 0..groups-1. Read as unsigned, a negative label is a large one.
template <class L>
EQUISHARE_INLINE bool all_below(const L* labels, int64_t count, int64_t groups) {
  using Unsigned = std::make_unsigned_t<L>;
  constexpr int64_t most = static_cast<int64_t>(std::numeric_limits<L>::max());
  if (sizeof(L) == 1 && groups > most) return true;
  if (groups < 1) return count == 0;
  Unsigned greatest = 0;
  for (int64_t k = 0; k < count; ++k) {
    const Unsigned label = static_cast<Unsigned>(labels[k]);
    greatest = label > greatest ? label : greatest;
  }
  return greatest <= static_cast<Unsigned>(groups - 1 < most ? groups - 1 : most);
}

[[gnu::noinline]] bool all_below(const Labels& labels, int64_t at, int64_t count, int64_t groups) {
  if (labels.type == LabelType::u4) return all_packed_below(packed_at(labels, at), count, groups);
  return with_labels(labels, [&](auto* all) { return all_below(all + at, count, groups); });
}

// At most label_block labels from `at` on as numbers of another type, which hold them; copied into
// the buffer unless they are stored so.
template <class To>
[[gnu::noinline]] const To* block_of(const Labels& labels, int64_t at, int64_t count, To* buffer) {
  if constexpr (sizeof(To) == 1)
    if (labels.type == LabelType::u4) {
      unpack(packed_at(labels, at), count, buffer);
      return buffer;
    }
  return with_labels(labels, [&](auto* all) -> const To* {
    if constexpr (sizeof(*all) == sizeof(To)) return reinterpret_cast<const To*>(all + at);
    for (int64_t k = 0; k < count; ++k) buffer[k] = static_cast<To>(all[at + k]);
    return buffer;
  });
}

// Calls f with a block of labels as bytes if these hold them, else as 32 bits: loops for every
// type of labels took half of the time that the kernels took to compile.
template <class F>
EQUISHARE_INLINE void with_block(const Labels& labels, int64_t at, int64_t count, int64_t groups,
                                 F f) {
  if (labels.type == LabelType::u8 || labels.type == LabelType::u4 || groups <= 256) {
    uint8_t buffer[label_block];
    f(block_of(labels, at, count, buffer));
  } else {
    int32_t buffer[label_block];
    f(block_of(labels, at, count, buffer));
  }
}

// As many labels as a vector of T has lanes, each as wide as T. GCC 12 takes a conversion to four
// or eight times the width apart, number by number; and it warns of the plain forms of these.
template <class T>
EQUISHARE_INLINE typename Simd<T>::Bits load_index(const uint8_t* labels) {
  using Bits = typename Simd<T>::Bits;
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4)
    return (Bits)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i*)labels));
  else
    return (Bits)_mm512_maskz_cvtepu8_epi64(0xff, _mm_loadu_si64(labels));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Bits)_mm256_cvtepu8_epi32(_mm_loadu_si64(labels));
  else
    return (Bits)_mm256_cvtepu8_epi64(_mm_loadu_si32(labels));
#else
  typedef uint8_t Narrow __attribute__((vector_size(lanes<T>)));
  Narrow narrow;
  __builtin_memcpy(&narrow, labels, sizeof narrow);
  return __builtin_convertvector(narrow, Bits);
#endif
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
