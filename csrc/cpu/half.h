// bfloat16 and float16 in memory, float in vectors: load widens, store rounds to nearest even. NaN
// stays NaN.
#pragma once

#include <type_traits>

#include "cpu/simd.h"

namespace equishare::EQUISHARE_ISA {
namespace {

using Words = Simd<float>::Words;
typedef uint16_t Halves __attribute__((vector_size(EQUISHARE_VECTOR_BYTES / 2)));

EQUISHARE_INLINE Vec<float> widened(Halves h, bfloat16) {
  return __builtin_bit_cast(Vec<float>, __builtin_convertvector(h, Words) << 16);
}

EQUISHARE_INLINE Halves narrowed(Vec<float> v, bfloat16) {
  const Words bits = __builtin_bit_cast(Words, v);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(v == v ? rounded : quiet, Halves);
}

#ifdef __AVX512F__
// The masked forms, as in simd.h.
EQUISHARE_INLINE Vec<float> widened(Halves h, float16) {
  return (Vec<float>)_mm512_maskz_cvtph_ps(0xffff, (__m256i)h);
}
EQUISHARE_INLINE Halves narrowed(Vec<float> v, float16) {
  return (Halves)_mm512_maskz_cvtps_ph(0xffff, (__m512)v, _MM_FROUND_TO_NEAREST_INT);
}
#elif defined(__F16C__)
EQUISHARE_INLINE Vec<float> widened(Halves h, float16) {
  return (Vec<float>)_mm256_cvtph_ps((__m128i)h);
}
EQUISHARE_INLINE Halves narrowed(Vec<float> v, float16) {
  return (Halves)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
}
#else
// The exponent is moved by a multiplication, which also normalises subnormal numbers.
EQUISHARE_INLINE Vec<float> widened(Halves h, float16) {
  const Words wide = __builtin_convertvector(h, Words), size = (wide & 0x7fffu) << 13;
  const Vec<float> moved = __builtin_bit_cast(Vec<float>, size) * 0x1p112f;
  const Words special = size | 0x7f800000u;
  const Words finite = __builtin_bit_cast(Words, moved);
  return __builtin_bit_cast(Vec<float>,
                            (size >= 0x0f800000u ? special : finite) | ((wide & 0x8000u) << 16));
}
EQUISHARE_INLINE Halves narrowed(Vec<float> v, float16) {
  const Words bits = __builtin_bit_cast(Words, v), size = bits & 0x7fffffffu;
  // Below 2^-14 the addition of 1/2 leaves the rounded subnormal in the low bits.
  const Words tiny =
      __builtin_bit_cast(Words, __builtin_bit_cast(Vec<float>, size) + 0.5f) - 0x3f000000u;
  const Words normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  Words half = size < 0x38800000u ? tiny : normal;
  half = size >= 0x477ff000u ? Words() + 0x7c00u : half;
  half = size > 0x7f800000u ? Words() + 0x7e00u : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), Halves);
}
#endif

EQUISHARE_INLINE Halves load_halves(const uint16_t* p, Full) {
  Halves h;
  __builtin_memcpy(&h, p, sizeof h);
  return h;
}
EQUISHARE_INLINE void store_halves(uint16_t* p, Halves h, Full) {
  __builtin_memcpy(p, &h, sizeof h);
}

#ifdef __AVX512BW__
EQUISHARE_INLINE Halves load_halves(const uint16_t* p, Part part) {
  return (Halves)_mm256_maskz_loadu_epi16((1u << part.count) - 1, p);
}
EQUISHARE_INLINE void store_halves(uint16_t* p, Halves h, Part part) {
  _mm256_mask_storeu_epi16(p, (1u << part.count) - 1, (__m256i)h);
}
#else
EQUISHARE_INLINE Halves load_halves(const uint16_t* p, Part part) {
  Halves h = Halves();
  for (int64_t i = 0; i < lanes<float> - 1; ++i)
    if (i < part.count) h[i] = p[i];
  return h;
}
EQUISHARE_INLINE void store_halves(uint16_t* p, Halves h, Part part) {
  for (int64_t i = 0; i < lanes<float> - 1; ++i)
    if (i < part.count) p[i] = h[i];
}
#endif

template <class S>
constexpr bool is_half = std::is_same_v<S, bfloat16> || std::is_same_v<S, float16>;

template <class S, class = std::enable_if_t<is_half<S>>>
EQUISHARE_INLINE Vec<float> load(const S* p, Full, float) {
  return widened(load_halves(&p->bits, Full{}), S());
}

template <class S, class = std::enable_if_t<is_half<S>>>
EQUISHARE_INLINE Vec<float> load(const S* p, Part part, float fill) {
  const Vec<float> v = widened(load_halves(&p->bits, part), S());
  Words lane;
  for (int i = 0; i < static_cast<int>(lanes<float>); ++i) lane[i] = i;
  return lane < static_cast<uint32_t>(part.count) ? v : Vec<float>() + fill;
}

template <class S, class Len, class = std::enable_if_t<is_half<S>>>
EQUISHARE_INLINE void store(S* p, Vec<float> v, Len len) {
  store_halves(&p->bits, narrowed(v, S()), len);
}

// One number; a kernel's scalar code reads and writes all storage types through these two.
EQUISHARE_INLINE float get(float x) { return x; }
EQUISHARE_INLINE double get(double x) { return x; }
template <class S, class = std::enable_if_t<is_half<S>>>
EQUISHARE_INLINE float get(S x) {
  return widened(Halves() + x.bits, x)[0];
}
EQUISHARE_INLINE void put(float& to, float x) { to = x; }
EQUISHARE_INLINE void put(double& to, double x) { to = x; }
template <class S, class = std::enable_if_t<is_half<S>>>
EQUISHARE_INLINE void put(S& to, float x) {
  to.bits = narrowed(Vec<float>() + x, to)[0];
}

template <class S>
EQUISHARE_INLINE Arithmetic<S> largest_in_row(const S* row, int64_t count) {
  using T = Arithmetic<S>;
  // Several at a time, since each comparison waits for the one before.
  constexpr int chains = 4;
  Vec<T> most[chains];
  for (int c = 0; c < chains; ++c) most[c] = Vec<T>() - infinity<T>;
  int64_t first = 0;
  for (; first + chains * lanes<T> <= count; first += chains * lanes<T>)
    for (int c = 0; c < chains; ++c)
      most[c] = larger(load(row + first + c * lanes<T>, Full{}, T(0)), most[c]);
  along_row<T>(count - first, [&](int64_t g, auto len) {
    most[0] = larger(load(row + first + g, len, -infinity<T>), most[0]);
  });
  return largest<T>(larger(larger(most[0], most[1]), larger(most[2], most[3])));
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
