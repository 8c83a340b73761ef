// The widest vectors of the instruction set that this file is compiled for, and loops over them.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "args.h"
#include "vec_math.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif
#ifdef __AVX512F__
#define EQUISHARE_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define EQUISHARE_VECTOR_BYTES 32
#else
#define EQUISHARE_VECTOR_BYTES 16
#endif

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef uint32_t Words __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  using ScalarBits = int32_t;
  using ScalarWords = uint32_t;
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef uint64_t Words __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  using ScalarBits = int64_t;
  using ScalarWords = uint64_t;
};

template <class T>
using Vec = typename Simd<T>::Vec;

template <class T>
constexpr int64_t lanes = EQUISHARE_VECTOR_BYTES / sizeof(T);

template <class T>
constexpr T infinity = T(__builtin_inf());

// log A where A has underflowed: finite, so that A log A is 0 and not 0 * inf.
template <class T>
constexpr T least_log = T(-1000);

// The larger and the smaller of two; b where one is NaN. (The processor's own, which GCC does not
// make of a choice between vectors. Of 512 bits the masked forms, of all lanes: GCC 12 warns of
// uninitialised values inside of the plain ones.)
#ifdef __AVX512F__
EQUISHARE_INLINE Vec<float> larger(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
}
EQUISHARE_INLINE Vec<double> larger(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm512_maskz_max_pd(0xff, (__m512d)a, (__m512d)b);
}
#else
#if defined(__AVX2__)
EQUISHARE_INLINE Vec<float> larger(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm256_max_ps((__m256)a, (__m256)b);
}
EQUISHARE_INLINE Vec<double> larger(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm256_max_pd((__m256d)a, (__m256d)b);
}
EQUISHARE_INLINE Vec<float> smaller(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm256_min_ps((__m256)a, (__m256)b);
}
EQUISHARE_INLINE Vec<double> smaller(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm256_min_pd((__m256d)a, (__m256d)b);
}
#elif defined(__SSE2__)
EQUISHARE_INLINE Vec<float> larger(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm_max_ps((__m128)a, (__m128)b);
}
EQUISHARE_INLINE Vec<double> larger(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm_max_pd((__m128d)a, (__m128d)b);
}
EQUISHARE_INLINE Vec<float> smaller(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm_min_ps((__m128)a, (__m128)b);
}
EQUISHARE_INLINE Vec<double> smaller(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm_min_pd((__m128d)a, (__m128d)b);
}
#else
template <class V>
EQUISHARE_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
EQUISHARE_INLINE V smaller(V a, V b) {
  return a < b ? a : b;
}
#endif
#endif

template <class T>
EQUISHARE_INLINE Vec<T> at_least(Vec<T> x, T floor) {
  return larger(Vec<T>() + floor, x);
}

// e^x for all x; infinite, or at least 2^127 (2^1023), beyond the largest number; subnormal or 0
// below the smallest normal one; NaN stays NaN. What is taken to a power is a logit less the pivot
// of its row. That difference is exact where the two are near each other, however large they are,
// and 0 for the pivot; so kernels take it first, and no product of a logit.
#ifdef __AVX512DQ__
// The processor splits off the fraction (of an infinity, 0) and scales by the rest.
EQUISHARE_INLINE Vec<float> exp_vec(Vec<float> x) {
  constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  const __m512 t = (__m512)(x * MathConstants<float>::log2_e);
  const Vec<float> fraction = (Vec<float>)_mm512_reduce_ps(t, down);
  return (Vec<float>)_mm512_maskz_scalef_ps(0xffff, (__m512)exp2_of_fraction<float>(fraction), t);
}
EQUISHARE_INLINE Vec<double> exp_vec(Vec<double> x) {
  constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  const __m512d t = (__m512d)(x * MathConstants<double>::log2_e);
  const Vec<double> fraction = (Vec<double>)_mm512_reduce_pd(t, down);
  return (Vec<double>)_mm512_maskz_scalef_pd(0xff, (__m512d)exp2_of_fraction<double>(fraction), t);
}
template <class V>
EQUISHARE_INLINE V exp_of_depth(V x) {
  return exp_vec(x);
}
#else
template <class V, class T = std::decay_t<decltype(V()[0])>>
EQUISHARE_INLINE V exp_vec(V x) {
  const V clamped = smaller(V() + MathConstants<T>::greatest, at_least(x, MathConstants<T>::least));
  return exp_in_range<T, V, typename Simd<T>::Words>(clamped);
}
// The same for x <= MathConstants::greatest.
template <class V, class T = std::decay_t<decltype(V()[0])>>
EQUISHARE_INLINE V exp_of_depth(V x) {
  return exp_in_range<T, V, typename Simd<T>::Words>(at_least(x, MathConstants<T>::least));
}
#endif

template <class T>
EQUISHARE_INLINE Vec<T> log_vec(Vec<T> x) {
  return log_from_one<T, Vec<T>, typename Simd<T>::Bits, typename Simd<T>::Words>(x);
}

template <class T>
EQUISHARE_INLINE T log_scalar(T x) {
  return log_from_one<T, T, typename Simd<T>::ScalarBits, typename Simd<T>::ScalarWords>(x);
}

// How much of a vector lies inside the row: all of it, or the first `count` lanes.
struct Full {};
struct Part {
  int64_t count;
};

template <class T>
EQUISHARE_INLINE Vec<T> load(const T* p, Full, T) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
EQUISHARE_INLINE void store(T* p, Vec<T> v, Full) {
  __builtin_memcpy(p, &v, sizeof v);
}

#ifdef __AVX512F__
EQUISHARE_INLINE Vec<float> load(const float* p, Part part, float fill) {
  return (Vec<float>)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (1u << part.count) - 1, p);
}
EQUISHARE_INLINE Vec<double> load(const double* p, Part part, double fill) {
  return (Vec<double>)_mm512_mask_loadu_pd(_mm512_set1_pd(fill), (1u << part.count) - 1, p);
}
EQUISHARE_INLINE void store(float* p, Vec<float> v, Part part) {
  _mm512_mask_storeu_ps(p, (1u << part.count) - 1, (__m512)v);
}
EQUISHARE_INLINE void store(double* p, Vec<double> v, Part part) {
  _mm512_mask_storeu_pd(p, (1u << part.count) - 1, (__m512d)v);
}
#else
#ifdef __AVX2__
EQUISHARE_INLINE Vec<float> load(const float* p, Part part, float fill) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(part.count)), lane);
  const Vec<float> v = (Vec<float>)_mm256_maskload_ps(p, inside);
  return (Simd<float>::Bits)inside != 0 ? v : Vec<float>() + fill;
}
EQUISHARE_INLINE Vec<double> load(const double* p, Part part, double fill) {
  const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
  const __m256i inside = _mm256_cmpgt_epi64(_mm256_set1_epi64x(part.count), lane);
  const Vec<double> v = (Vec<double>)_mm256_maskload_pd(p, inside);
  return (Simd<double>::Bits)inside != 0 ? v : Vec<double>() + fill;
}
#else
template <class T>
EQUISHARE_INLINE Vec<T> load(const T* p, Part part, T fill) {
  Vec<T> v = Vec<T>() + fill;
  for (int64_t i = 0; i < lanes<T> - 1; ++i)
    if (i < part.count) v[i] = p[i];
  return v;
}
#endif
// A masked store takes AMD's processors longer.
template <class T>
EQUISHARE_INLINE void store(T* p, Vec<T> v, Part part) {
  for (int64_t i = 0; i < lanes<T> - 1; ++i)
    if (i < part.count) p[i] = v[i];
}
#endif

EQUISHARE_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
EQUISHARE_INLINE double square_root(double x) { return __builtin_sqrt(x); }

template <class T>
EQUISHARE_INLINE Vec<T> sqrt_vec(Vec<T> v) {
  T entry[lanes<T>];
  __builtin_memcpy(entry, &v, sizeof v);
  for (int64_t i = 0; i < lanes<T>; ++i) entry[i] = square_root(entry[i]);
  return load(entry, Full{}, T(0));
}

template <class T, class Len>
EQUISHARE_INLINE void add_to(T* p, Vec<T> v, Len len) {
  store(p, load(p, len, T(0)) + v, len);
}

// Calls f(offset, Full or Part) over a row of `count` entries.
template <class T, class F>
EQUISHARE_INLINE void along_row(int64_t count, F f) {
  int64_t i = 0;
  for (; i + lanes<T> <= count; i += lanes<T>) f(i, Full{});
  if (i < count) f(i, Part{count - i});
}

// Pairwise, in a fixed order.
template <class T, class F>
EQUISHARE_INLINE T across(Vec<T> v, F combine) {
  T entry[lanes<T>];
  __builtin_memcpy(entry, &v, sizeof v);
#pragma GCC unroll 4
  for (int64_t half = lanes<T> / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int64_t i = 0; i < half; ++i) entry[i] = combine(entry[i], entry[i + half]);
  return entry[0];
}

template <class T>
EQUISHARE_INLINE T sum(Vec<T> v) {
  return across<T>(v, [](T a, T b) { return a + b; });
}

template <class T>
EQUISHARE_INLINE T largest(Vec<T> v) {
  return across<T>(v, [](T a, T b) { return a > b ? a : b; });
}

// Interchanges every second block of `half` lanes of a with the block before it of b.
template <class T, int half, int... l>
EQUISHARE_INLINE void interchange(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, l...>) {
  constexpr int n = lanes<T>;
#ifdef __clang__
  const Vec<T> low = __builtin_shufflevector(a, b, (l & half ? n + l - half : l)...);
  const Vec<T> high = __builtin_shufflevector(a, b, (l & half ? n + l : l + half)...);
#else
  using Bits = typename Simd<T>::Bits;
  const Vec<T> low = __builtin_shuffle(a, b, Bits{(l & half ? n + l - half : l)...});
  const Vec<T> high = __builtin_shuffle(a, b, Bits{(l & half ? n + l : l + half)...});
#endif
  a = low, b = high;
}

template <class T, int half>
EQUISHARE_INLINE void interchange(Vec<T>& a, Vec<T>& b) {
  interchange<T, half>(a, b, std::make_integer_sequence<int, lanes<T>>());
}

// The sums of `lanes` vectors, in the lanes of one: sum of v[i] in lane i. Overwrites v.
template <class T, int half = lanes<T> / 2>
EQUISHARE_INLINE Vec<T> sums_of(Vec<T>* v) {
  for (int i = 0; i < half; ++i) {
    interchange<T, half>(v[i], v[i + half]);
    v[i] += v[i + half];
  }
  if constexpr (half > 1) return sums_of<T, half / 2>(v);
  return v[0];
}

// Transposes the square of `lanes` vectors in place.
template <class T, int half = lanes<T> / 2>
EQUISHARE_INLINE void transpose(Vec<T>* v) {
  for (int i = 0; i < lanes<T>; ++i)
    if (!(i & half)) interchange<T, half>(v[i], v[i + half]);
  if constexpr (half > 1) transpose<T, half / 2>(v);
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
