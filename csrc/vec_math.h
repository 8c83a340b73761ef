// Branch-free exp and log for a scalar or for a GCC/Clang vector of them: V is either, Bits and
// Words the signed and unsigned integers of the same width. Every function has internal linkage, so
// that code compiled for one instruction set is never linked into another.
//
//   multiply_add      a b + c, rounded once where the processor has an instruction for it
//   exp2_polynomial   2^f for |f| <= 1/2: within 2 ulp (float) or 1.5 ulp (double); 1 at 0
//   exp2_of_fraction  the same for 0 <= f <= 1
//   exp_in_range      e^x for least <= x <= greatest: within 2.5 + 1.25 |x| ulp; 1 at 0; subnormal
//                     or 0 below the smallest normal number, 0 at least; NaN stays NaN
//   log_from_one      x >= 1: within 2 ulp; 0 at 1; NaN stays NaN
//
// The polynomials are minimax in ulp, with the constant fixed at 1. log: x = 2^e m, sqrt(1/2) <= m
// < sqrt(2), log m = 2 atanh((m - 1) / (m + 1)), atanh by its series.
#pragma once

#include <cstdint>
#ifdef __FMA__
#include <immintrin.h>
#endif

namespace equishare {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa = 23, terms = 5;
  static constexpr int32_t bias = 127, sqrt_half = 0x3f3504f3;
  static constexpr float least = -88.0296919f, greatest = 88.0296919f;  // 127 log 2
  static constexpr float round = 12582912.0f;                           // 1.5 * 2^23
  static constexpr float log2_e = 1.44269504f, log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
  static constexpr float fraction[6] = {1.0f,          0.693152487f,   0.240152672f,
                                        0.0558362566f, 0.00897306576f, 0.00188540027f};
#ifdef __FMA__
  static constexpr int degree = 5;
  static constexpr float poly[6] = {1.0f,          0.693146825f,   0.240222365f,
                                    0.0555089228f, 0.00967176259f, 0.00132257072f};
#else
  // Each product is rounded too; a degree more makes up for it.
  static constexpr int degree = 6;
  static constexpr float poly[7] = {1.0f,           0.693147182f,   0.240226522f,   0.0555031052f,
                                    0.00961769279f, 0.00134066434f, 0.000155946778f};
#endif
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa = 52, degree = 11, terms = 11;
  static constexpr int64_t bias = 1023, sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double least = -709.08956571282408, greatest = 709.08956571282408;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_e = 1.4426950408889634, log2_high = 0.693147180369123816490,
                          log2_low = 1.90821492927058770002e-10;
  static constexpr double fraction[12] = {1.0,
                                          0.6931471805599462,
                                          0.240226506959051,
                                          0.05550410866581415,
                                          0.009618129097747669,
                                          0.0013333558717484482,
                                          0.00015403509664768553,
                                          1.5253225806945885e-05,
                                          1.3207744732322276e-06,
                                          1.0257937094739126e-07,
                                          6.539324344699324e-09,
                                          6.300693874092546e-10};
  static constexpr double poly[12] = {1.0,
                                      0.6931471805599456968,
                                      0.2402265069591009801,
                                      0.05550410866479039455,
                                      0.00961812910760700238,
                                      0.001333355815343996475,
                                      0.0001540353044157213033,
                                      0.0000152527273851938682,
                                      1.321544267532982214e-6,
                                      1.018064765923413889e-7,
                                      7.07257041281442351e-9,
                                      4.078071929588336665e-10};
};

#define EQUISHARE_INLINE static inline __attribute__((always_inline))

// Said, and not left to the compiler, which fuses or not as its options are.
template <class T, class V>
EQUISHARE_INLINE V multiply_add(V a, V b, V c) {
#ifdef __FMA__
  constexpr bool narrow = sizeof(T) == 4;
  if constexpr (sizeof(V) == sizeof(T)) {
    return narrow ? __builtin_fmaf(a, b, c) : __builtin_fma(a, b, c);
  } else if constexpr (sizeof(V) == 32) {
    if constexpr (narrow) return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#ifdef __AVX512F__
  } else if constexpr (sizeof(V) == 64) {
    if constexpr (narrow) return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
  }
#endif
  return a * b + c;
}

template <class T, class V>
EQUISHARE_INLINE V exp2_polynomial(V f) {
  using M = MathConstants<T>;
  V p = V() + M::poly[M::degree];
  for (int i = M::degree - 1; i >= 0; --i) p = multiply_add<T>(p, f, V() + M::poly[i]);
  return p;
}

template <class T, class V>
EQUISHARE_INLINE V exp2_of_fraction(V f) {
  using M = MathConstants<T>;
  constexpr int degree = sizeof M::fraction / sizeof(T) - 1;
  V p = V() + M::fraction[degree];
  for (int i = degree - 1; i >= 0; --i) p = multiply_add<T>(p, f, V() + M::fraction[i]);
  return p;
}

// The first sum rounds x log2 e to an integer n and leaves n + bias, the exponent of 2^n, in its
// lowest bits: 0 at least.
template <class T, class V, class Words>
EQUISHARE_INLINE V exp_in_range(V x) {
  using M = MathConstants<T>;
  constexpr T round = M::round + M::bias;
  const V log2_e = V() + M::log2_e, shifted = multiply_add<T>(x, log2_e, V() + round);
  const V scale = __builtin_bit_cast(V, __builtin_bit_cast(Words, shifted) << M::mantissa);
  return exp2_polynomial<T>(multiply_add<T>(x, log2_e, round - shifted)) * scale;
}

template <class T, class V, class Bits, class Words>
EQUISHARE_INLINE V log_from_one(V x) {
  using M = MathConstants<T>;
  const Bits bits = __builtin_bit_cast(Bits, x);
  const Bits exponent = (bits - M::sqrt_half) >> M::mantissa;
  const Words power = __builtin_bit_cast(Words, exponent) << M::mantissa;
  const V m = __builtin_bit_cast(V, __builtin_bit_cast(Words, x) - power);
  const V n = __builtin_bit_cast(V, exponent + __builtin_bit_cast(Bits, V() + M::round)) - M::round;
  const V f = m - T(1), t = f / (m + T(1)), square = t * t;
  V p = V() + T(1) / T(2 * M::terms + 1);
  for (int i = M::terms - 1; i >= 1; --i) p = p * square + T(1) / T(2 * i + 1);
  const V y = n * M::log2_high + (n * M::log2_low + (t + t + (t + t) * square * p));
  return x == x ? y : x;
}

}  // namespace equishare
