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
  using ScalarBits = int32_t;
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  using ScalarBits = int64_t;
};

template <class T>
using Vec = typename Simd<T>::Vec;

template <class T>
constexpr int64_t lanes = EQUISHARE_VECTOR_BYTES / sizeof(T);

template <class T>
constexpr T infinity = T(__builtin_inf());

// log A, natural and to the base 2, where A has underflowed: finite, so that A log A is 0 and not
// 0 * inf.
template <class T>
constexpr T least_log = T(-1000);
template <class T>
constexpr T least_log2 = T(-1500);

template <class T>
constexpr T log2_e = T(1.4426950408889634);
template <class T>
constexpr T ln_2 = T(0.6931471805599453);

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

// 2^t for all t; infinite, or at least 2^127 (2^1023), beyond the largest number; subnormal or 0
// below the smallest normal one; NaN stays NaN.
#ifdef __AVX512DQ__
// The processor splits off the nearest integer (of an infinity, all of it) and scales by it.
EQUISHARE_INLINE Vec<float> exp2_vec(Vec<float> t) {
  const Vec<float> f = (Vec<float>)_mm512_reduce_ps((__m512)t, _MM_FROUND_NO_EXC);
  return (Vec<float>)_mm512_maskz_scalef_ps(0xffff, (__m512)exp2_polynomial<float>(f),
                                            (__m512)(t - f));
}
EQUISHARE_INLINE Vec<double> exp2_vec(Vec<double> t) {
  const Vec<double> f = (Vec<double>)_mm512_reduce_pd((__m512d)t, _MM_FROUND_NO_EXC);
  return (Vec<double>)_mm512_maskz_scalef_pd(0xff, (__m512d)exp2_polynomial<double>(f),
                                             (__m512d)(t - f));
}
#else
template <class V, class T = std::decay_t<decltype(V()[0])>>
EQUISHARE_INLINE V exp2_vec(V t) {
  const V greatest = V() + MathConstants<T>::greatest;
  const V clamped = smaller(greatest, at_least(t, MathConstants<T>::least));
  return exp2_in_range<T, V, typename Simd<T>::Bits>(clamped);
}
#endif

// How far a logit lies from the pivot of its row, in powers of two. The one rounding of the product
// is of the size of that of x - pivot.
template <class T>
EQUISHARE_INLINE Vec<T> depth(Vec<T> x, Vec<T> pivot) {
  return (x - pivot) * log2_e<T>;
}

// The same in two steps, with one operation less for every x of a row, where products are fused
// into sums and so exact: the rounding of the pivot's own product is then common to the row, and
// cancels.
#ifdef __FMA__
template <class T>
EQUISHARE_INLINE Vec<T> origin_of(T pivot) {
  return Vec<T>() + pivot * log2_e<T>;
}
template <class T>
EQUISHARE_INLINE Vec<T> depth_from(Vec<T> x, Vec<T> origin) {
  return x * log2_e<T> - origin;
}
#else
template <class T>
EQUISHARE_INLINE Vec<T> origin_of(T pivot) {
  return Vec<T>() + pivot;
}
template <class T>
EQUISHARE_INLINE Vec<T> depth_from(Vec<T> x, Vec<T> origin) {
  return depth<T>(x, origin);
}
#endif

template <class T>
EQUISHARE_INLINE Vec<T> log_vec(Vec<T> x) {
  return log_from_one<T, Vec<T>, typename Simd<T>::Bits>(x);
}

template <class T>
EQUISHARE_INLINE T log_scalar(T x) {
  return log_from_one<T, T, typename Simd<T>::ScalarBits>(x);
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
template <class T>
EQUISHARE_INLINE Vec<T> load(const T* p, Part part, T fill) {
  Vec<T> v = Vec<T>() + fill;
  for (int64_t i = 0; i < lanes<T> - 1; ++i)
    if (i < part.count) v[i] = p[i];
  return v;
}
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
