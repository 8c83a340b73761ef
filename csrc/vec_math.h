// Branch-free exp and log for a scalar or for a GCC/Clang vector of them: V is either, Bits the
// signed integers of the same width. Every function has internal linkage, so that code compiled for
// one instruction set is never linked into another.
//
//   exp_nonpositive  x <= 0 (a few ulps above is fine): within 1.5 ulp; 0 below exp(-87) (float) or
//                    exp(-708) (double), so subnormal results flush to zero; exp(-inf) = 0; NaN
//                    stays NaN
//   log_from_one     x >= 1: within 2.5 ulp; NaN stays NaN
//
// exp: x = n log 2 + r, |r| <= log(2) / 2, exp(r) = 1 + r + r^2 P(r), P interpolated at Chebyshev
// nodes. log: x = 2^e m, sqrt(1/2) <= m < sqrt(2), log m = 2 atanh((m - 1) / (m + 1)), atanh by its
// series.
#pragma once

#include <cstdint>

namespace equishare {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int mantissa = 23, degree = 4, terms = 5;
  static constexpr int32_t bias = 127, sqrt_half = 0x3f3504f3;
  static constexpr float underflow = -87.0f, round = 12582912.0f;  // 1.5 * 2^23
  static constexpr float log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
  static constexpr float poly[5] = {0.5f, 0.16666577f, 0.0416665546f, 0.00836317905f,
                                    0.00139261836f};
};

template <>
struct MathConstants<double> {
  static constexpr int mantissa = 52, degree = 9, terms = 11;
  static constexpr int64_t bias = 1023, sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double underflow = -708.0, round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_high = 0.693147180369123816490,
                          log2_low = 1.90821492927058770002e-10;
  static constexpr double poly[10] = {0.500000000000000102,     0.166666666666666675,
                                      0.0416666666666241279,    0.00833333333333006183,
                                      0.00138888889172137169,   0.000198412698630536169,
                                      0.0000248015212959543751, 2.75572684599970648e-6,
                                      2.76200884454097482e-7,   2.51003854955103191e-8};
};

#define EQUISHARE_INLINE static inline __attribute__((always_inline))

template <class T, class V, class Bits>
EQUISHARE_INLINE V exp_nonpositive(V x) {
  using M = MathConstants<T>;
  const V lowest = V() + M::underflow, zero = V();
  const V clamped = x < lowest ? lowest : x;
  const V shifted = clamped * T(1.4426950408889634) + M::round;
  const V n = shifted - M::round;
  const V r = (clamped - n * M::log2_high) - n * M::log2_low;
  V p = V() + M::poly[M::degree];
  for (int i = M::degree - 1; i >= 0; --i) p = p * r + M::poly[i];
  const V y = (p * r) * r + r + T(1);
  const Bits exponent =
      __builtin_bit_cast(Bits, shifted) - __builtin_bit_cast(Bits, V() + M::round);
  const V scale = __builtin_bit_cast(V, (exponent + M::bias) << M::mantissa);
  return x < lowest ? zero : y * scale;
}

template <class T, class V, class Bits>
EQUISHARE_INLINE V log_from_one(V x) {
  using M = MathConstants<T>;
  const Bits bits = __builtin_bit_cast(Bits, x);
  const Bits exponent = (bits - M::sqrt_half) >> M::mantissa;
  const V m = __builtin_bit_cast(V, bits - (exponent << M::mantissa));
  const V n = __builtin_bit_cast(V, exponent + __builtin_bit_cast(Bits, V() + M::round)) - M::round;
  const V f = m - T(1), t = f / (m + T(1)), square = t * t;
  V p = V() + T(1) / T(2 * M::terms + 1);
  for (int i = M::terms - 1; i >= 1; --i) p = p * square + T(1) / T(2 * i + 1);
  const V y = n * M::log2_high + (n * M::log2_low + (t + t + (t + t) * square * p));
  return x == x ? y : x;
}

}  // namespace equishare
