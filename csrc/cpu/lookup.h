// values[label] for vectors of labels. A small table of values stays in registers, where a
// permutation reads it: 2 to 4 times as fast as loads at 16 groups and as fast or faster up to 256
// with AVX-512, up to 64 with AVX2.
//
// A table finds `vectors` vectors of values at once. One that `is_packed` finds those of two labels
// a byte too: packed_labels of them, first the even ones, then the odd ones. What lies in registers
// takes labels of a byte, which hold its few groups, and never reads outside of it: a label out of
// range gives a wrong value.
#pragma once

#include "cpu/labels.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// How many registers a table may take; 0 where no instruction permutes by a variable index.
#ifdef __AVX512F__
constexpr int table_registers = 8;
#elif defined(__AVX2__)
constexpr int table_registers = 4;
#else
constexpr int table_registers = 0;
#endif

// Lane l is lane index[l] of a register, or of two.
#ifdef __AVX512F__
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Simd<float>::Bits index) {
  return (Vec<float>)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)index, (__m512)a);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Simd<double>::Bits index) {
  return (Vec<double>)_mm512_maskz_permutexvar_pd(0xff, (__m512i)index, (__m512d)a);
}
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Vec<float> b, Simd<float>::Bits index) {
  return (Vec<float>)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Vec<double> b, Simd<double>::Bits index) {
  return (Vec<double>)_mm512_permutex2var_pd((__m512d)a, (__m512i)index, (__m512d)b);
}
#elif defined(__AVX2__)
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Simd<float>::Bits index) {
  return (Vec<float>)_mm256_permutevar8x32_ps((__m256)a, (__m256i)index);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Simd<double>::Bits index) {
  const Simd<double>::Bits low = index + index, words = low | ((low + 1) << 32);
  return (Vec<double>)_mm256_permutevar8x32_ps((__m256)a, (__m256i)words);
}
#endif

constexpr int64_t packed_labels = 64;

// A table of values in the forms that the tables in registers are loaded from. The array of values
// is the caller's and outlives it.
template <class T>
class Lookup {
 public:
  // Few entries are not worth a table.
  Lookup(const T* values, int64_t groups, int64_t entries) : values_(values), groups_(groups) {
    small_ = groups > 0 && groups <= most && entries >= 2 * groups;
    if (!small_) return;
    __builtin_memset(padded_, 0, sizeof padded_);
    __builtin_memcpy(padded_, values, sizeof(T) * groups);
    if constexpr (most == 256) {
      if (groups <= 2 * lanes<T>) return;
      for (int g = 0; g < 256; ++g) {
        const uint32_t bits = __builtin_bit_cast(uint32_t, padded_[g]);
        plane_[0][g] = static_cast<uint16_t>(bits);
        plane_[1][g] = static_cast<uint16_t>(bits >> 16);
      }
    }
  }
  int64_t groups() const { return groups_; }

  // Calls f with the fastest table.
  template <class F>
  void with_table(F f) const;

 private:
#ifdef __AVX512BW__
  static constexpr int most = std::is_same_v<T, float> ? 256 : table_registers * lanes<T>;
#elif defined(__AVX2__)
  static constexpr int most = std::is_same_v<T, float> ? 64 : table_registers * lanes<T>;
#else
  static constexpr int most = 0;
#endif
  const T* values_;
  int64_t groups_;
  bool small_;
  T padded_[most + 1];
  uint16_t plane_[2][most == 256 ? most : 1];
};

// Reads the values from memory, by labels of any type.
template <class T>
struct MemoryTable {
  static constexpr bool in_registers = false, is_packed = false;
  static constexpr int vectors = 1;
  const T* values;

  template <class L>
  EQUISHARE_MEMBER void find(const L* labels, Vec<T>* out) const {
    find(labels, out, std::make_integer_sequence<int, lanes<T>>());
  }

 private:
  template <class L, int... l>
  EQUISHARE_MEMBER void find(const L* labels, Vec<T>* out, std::integer_sequence<int, l...>) const {
#if defined(__AVX2__) && !defined(__AVX512F__)
    // Half by insertions and half by blends: insertions alone, seven of them, wait for the one or
    // two ports that shuffle.
    if constexpr (sizeof(T) == 4) {
      const T* from[8] = {values + label(labels, l)...};
      __m128 low = _mm_load_ss(from[0]);
      low = _mm_insert_ps(low, _mm_load_ss(from[1]), 0x10);
      low = _mm_insert_ps(low, _mm_load_ss(from[2]), 0x20);
      low = _mm_insert_ps(low, _mm_load_ss(from[3]), 0x30);
      const __m256 a =
          _mm256_blend_ps(_mm256_broadcast_ss(from[4]), _mm256_broadcast_ss(from[5]), 0x20);
      const __m256 b =
          _mm256_blend_ps(_mm256_broadcast_ss(from[6]), _mm256_broadcast_ss(from[7]), 0x80);
      *out =
          (Vec<T>)_mm256_blend_ps(_mm256_castps128_ps256(low), _mm256_blend_ps(a, b, 0xc0), 0xf0);
      return;
    }
#endif
    *out = Vec<T>{values[label(labels, l)]...};
  }
  // Of bytes, eight are loaded at once: loads are what there is most of.
  template <class L>
  EQUISHARE_MEMBER static int64_t label(const L* labels, int lane) {
    if constexpr (sizeof(L) == 1 && lanes<T> % 8 == 0 && little_endian) {
      uint64_t eight;
      __builtin_memcpy(&eight, labels + lane / 8 * 8, sizeof eight);
      return (eight >> (8 * (lane % 8))) & 255;
    } else {
      return static_cast<int64_t>(labels[lane]);
    }
  }
};

template <class T, int R>
struct RegisterTable {
  static constexpr bool in_registers = true,
                        is_packed = EQUISHARE_VECTOR_BYTES == 64 && R == 1 && sizeof(T) == 4;
  static constexpr int vectors = 2;
  Vec<T> entry[R];

  explicit RegisterTable(const T* padded) { __builtin_memcpy(entry, padded, sizeof entry); }

  template <int First, int Count>
  EQUISHARE_MEMBER Vec<T> find(typename Simd<T>::Bits index) const {
    if constexpr (Count == 1) {
      return permuted(entry[First], index);
    } else if constexpr (Count == 2 && EQUISHARE_VECTOR_BYTES == 64) {
      return permuted(entry[First], entry[First + 1], index);
    } else {
      const Vec<T> low = find<First, Count / 2>(index);
      const Vec<T> high = find<First + Count / 2, Count / 2>(index);
      return (index & (lanes<T> * Count / 2)) != 0 ? high : low;
    }
  }

  EQUISHARE_MEMBER void find(const uint8_t* labels, Vec<T>* out) const {
    for (int v = 0; v < vectors; ++v) out[v] = find<0, R>(load_index<T>(labels + v * lanes<T>));
  }
  // The permutation reads the low half of a byte alone.
  EQUISHARE_MEMBER void find_packed(const uint8_t* packed, int odd, Vec<T>* out) const {
    for (int v = 0; v < vectors; ++v)
      out[v] = find<0, R>(load_index<T>(packed + v * lanes<T>) >> (4 * odd));
  }
};

#ifdef __AVX512BW__
// 64 * Q values as two planes of 16 bits: one permutation reads 64 entries for 32 labels, where
// one of 32-bit words reads 32 entries for 16.
template <int Q>
struct PlaneTable {
  static constexpr bool in_registers = true, is_packed = false;
  static constexpr int vectors = 2;
  typedef uint16_t Plane __attribute__((vector_size(64)));
  Plane low[2 * Q], high[2 * Q];

  PlaneTable(const uint16_t* lows, const uint16_t* highs) {
    __builtin_memcpy(low, lows, sizeof low);
    __builtin_memcpy(high, highs, sizeof high);
  }

  template <int First, int Count>
  EQUISHARE_MEMBER static Plane find(const Plane* plane, Plane index) {
    if constexpr (Count == 1) {
      return (Plane)_mm512_permutex2var_epi16((__m512i)plane[2 * First], (__m512i)index,
                                              (__m512i)plane[2 * First + 1]);
    } else {
      const Plane a = find<First, Count / 2>(plane, index);
      const Plane b = find<First + Count / 2, Count / 2>(plane, index);
      return (index & static_cast<uint16_t>(32 * Count)) != 0 ? b : a;
    }
  }

  EQUISHARE_MEMBER void find(const uint8_t* labels, Vec<float>* out) const {
    // The order from which unpacking the two planes, 128 bits at a time, gives lanes in order.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    const Plane index = (Plane)_mm512_cvtepu8_epi16(_mm256_permutevar8x32_epi32(bytes, order));
    const __m512i lows = (__m512i)find<0, Q>(low, index);
    const __m512i highs = (__m512i)find<0, Q>(high, index);
    out[0] = (Vec<float>)_mm512_unpacklo_epi16(lows, highs);
    out[1] = (Vec<float>)_mm512_unpackhi_epi16(lows, highs);
  }
};
#elif defined(__AVX2__)
// 16 * Q values as four planes of bytes. A byte shuffle reads 16 entries of a plane for 32 labels,
// and gives 0 where the index is negative. With 16 less at each of the Q parts, the last part that
// a label is not negative for is its own; the parts hold the difference, by exclusive or, from the
// one before.
template <int Q>
struct ByteTable {
  static constexpr bool in_registers = true, is_packed = Q == 1;
  static constexpr int vectors = 4;
  __m256i part[Q][4];

  explicit ByteTable(const float* padded) {
    for (int q = 0; q < Q; ++q)
      for (int p = 0; p < 4; ++p) {
        uint8_t bytes[16];
        for (int g = 0; g < 16; ++g) {
          const int at = 16 * q + g;
          uint32_t bits = __builtin_bit_cast(uint32_t, padded[at]);
          if (q > 0) bits ^= __builtin_bit_cast(uint32_t, padded[at - 16]);
          bytes[g] = static_cast<uint8_t>(bits >> (8 * p));
        }
        __m128i row;
        __builtin_memcpy(&row, bytes, sizeof row);
        part[q][p] = _mm256_broadcastsi128_si256(row);
      }
  }

  EQUISHARE_MEMBER void find(const uint8_t* labels, Vec<float>* out) const {
    find(in_order(labels), out);
  }
  EQUISHARE_MEMBER void find_packed(const uint8_t* packed, int odd, Vec<float>* out) const {
    const __m256i both = _mm256_srli_epi16(in_order(packed), 4 * odd);
    find(_mm256_and_si256(both, _mm256_set1_epi8(15)), out);
  }

 private:
  // The order from which unpacking the planes, 128 bits at a time, gives lanes in order.
  EQUISHARE_MEMBER static __m256i in_order(const uint8_t* labels) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  }
  EQUISHARE_MEMBER void find(__m256i index, Vec<float>* out) const {
    __m256i plane[4];
    for (int p = 0; p < 4; ++p) plane[p] = _mm256_shuffle_epi8(part[0][p], index);
    for (int q = 1; q < Q; ++q) {
      index = _mm256_sub_epi8(index, _mm256_set1_epi8(16));
      for (int p = 0; p < 4; ++p)
        plane[p] = _mm256_xor_si256(plane[p], _mm256_shuffle_epi8(part[q][p], index));
    }
    for (int half = 0; half < 2; ++half) {
      const auto unpack = [&](__m256i a, __m256i b) {
        return half ? _mm256_unpackhi_epi8(a, b) : _mm256_unpacklo_epi8(a, b);
      };
      const __m256i low = unpack(plane[0], plane[1]), high = unpack(plane[2], plane[3]);
      out[2 * half] = (Vec<float>)_mm256_unpacklo_epi16(low, high);
      out[2 * half + 1] = (Vec<float>)_mm256_unpackhi_epi16(low, high);
    }
  }
};
#endif

template <class T>
template <class F>
void Lookup<T>::with_table(F f) const {
  if (small_) {
#ifdef __AVX512BW__
    if (groups_ <= lanes<T>) return f(RegisterTable<T, 1>(padded_));
    if (groups_ <= 2 * lanes<T>) return f(RegisterTable<T, 2>(padded_));
    if constexpr (std::is_same_v<T, float>) {
      if (groups_ <= 64) return f(PlaneTable<1>(plane_[0], plane_[1]));
      if (groups_ <= 128) return f(PlaneTable<2>(plane_[0], plane_[1]));
      return f(PlaneTable<4>(plane_[0], plane_[1]));
    } else {
      if (groups_ <= 4 * lanes<T>) return f(RegisterTable<T, 4>(padded_));
      return f(RegisterTable<T, 8>(padded_));
    }
#elif defined(__AVX2__)
    if constexpr (std::is_same_v<T, float>) {
      if (groups_ <= 16) return f(ByteTable<1>(padded_));
      if (groups_ <= 32) return f(ByteTable<2>(padded_));
      return f(ByteTable<4>(padded_));
    } else {
      if (groups_ <= lanes<T>) return f(RegisterTable<T, 1>(padded_));
      if (groups_ <= 2 * lanes<T>) return f(RegisterTable<T, 2>(padded_));
      return f(RegisterTable<T, 4>(padded_));
    }
#endif
  }
  f(MemoryTable<T>{values_});
}

// out[k] = values[labels[k]]; the labels lie in range.
template <class T, class L, class Table>
EQUISHARE_INLINE void look_up(const Table& table, const L* labels, int64_t count, T* out) {
  constexpr int64_t step = Table::vectors * lanes<T>;
  Vec<T> found[Table::vectors];
  int64_t k = 0;
  for (; k + step <= count; k += step) {
    table.find(labels + k, found);
    for (int64_t v = 0; v < Table::vectors; ++v) store(out + k + v * lanes<T>, found[v], Full{});
  }
  if (k == count) return;
  L rest[step] = {};
  __builtin_memcpy(rest, labels + k, sizeof(L) * (count - k));
  table.find(rest, found);
  __builtin_memcpy(out + k, found, sizeof(T) * (count - k));
}

// Calls f with labels as the table takes them: bytes, or from memory any.
template <class Table, class F>
EQUISHARE_INLINE void with_block_for(const Table&, const Labels& labels, int64_t at, int64_t count,
                                     F f) {
  if constexpr (Table::in_registers) {
    uint8_t buffer[label_block];
    f(block_of(labels, at, count, buffer));
  } else if (labels.type == LabelType::u4) {
    uint8_t buffer[label_block];
    f(block_of(labels, at, count, buffer));
  } else {
    with_labels(labels, [&](auto* all) { f(all + at); });
  }
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
