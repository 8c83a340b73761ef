// Stored numbers, drawn and exact, and their comparison.
#pragma once

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "args.h"

using namespace equishare;

namespace {

using Numbers = std::vector<double>;
std::mt19937 generator(0);
const char* place = "";
int failures = 0;
int64_t comparisons = 0;

// Halves by the definition of their bits.
template <class S>
constexpr int digits = std::is_same_v<S, bfloat16> ? 7 : 10;
template <class S>
constexpr int bias = std::is_same_v<S, bfloat16> ? 127 : 15;

template <class S>
S encoded(double x) {
  if constexpr (std::is_floating_point_v<S>) {
    return static_cast<S>(x);
  } else {
    const int exponent = x == 0 ? 1 - bias<S> : std::max(std::ilogb(x), 1 - bias<S>);
    const auto size = std::isinf(x) ? (2 * bias<S> + 1) << digits<S>
                                    : ((exponent + bias<S> - 1) << digits<S>)+std::lrint(
                                          std::ldexp(std::abs(x), digits<S> - exponent));
    return {static_cast<uint16_t>(size | (std::signbit(x) ? 0x8000 : 0))};
  }
}

double decoded(float x) { return x; }
double decoded(double x) { return x; }
template <class S>
double decoded(S x) {
  const int size = x.bits & 0x7fff, exponent = size >> digits<S>,
            fraction = size % (1 << digits<S>);
  const double scaled = exponent ? fraction + (1 << digits<S>) : fraction;
  const double value = std::ldexp(scaled, std::max(exponent, 1) - bias<S> - digits<S>);
  const bool special = exponent == 2 * bias<S> + 1;
  return (x.bits & 0x8000 ? -1 : 1) * (special ? (fraction ? NAN : INFINITY) : value);
}

template <class S>
struct Array {
  std::vector<S> stored;
  explicit Array(int64_t count, double fill = NAN) : stored(count, encoded<S>(0)) {
    if (!std::isnan(fill)) stored.assign(count, encoded<S>(fill));
  }
  explicit Array(const Numbers& numbers) {
    for (const double x : numbers) stored.push_back(encoded<S>(x));
  }
  double operator[](int64_t i) const { return decoded(stored[i]); }
  S* data() { return stored.data(); }
  int64_t size() const { return stored.size(); }
};

// The first multiple of 64 bytes inside.
template <class S>
S* aligned(Array<S>& array) {
  return reinterpret_cast<S*>((reinterpret_cast<uintptr_t>(array.data()) + 63) / 64 * 64);
}

template <class S>
Array<S> drawn(int64_t count, double spread = 1) {
  Array<S> out(count);
  for (S& x : out.stored) x = encoded<S>(std::normal_distribution<double>(0, spread)(generator));
  return out;
}

template <class S>
constexpr double tolerance = std::is_same_v<S, double>  ? 1e-11
                             : std::is_same_v<S, float> ? 1e-4
                                                        : 1.1 / (2 << digits<S>);

template <class S>
void compare(const char* what, const Shape& s, const Array<S>& got, const Numbers& want) {
  for (int64_t i = 0; i < got.size(); ++i) {
    ++comparisons;
    if (std::abs(got[i] - want[i]) <= tolerance<S> * (1 + std::abs(want[i]))) continue;
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    std::printf(
        "%s %s of %zu bytes, %ld x %ld x %ld x %ld, %d threads: [%ld] is %.9g, should be %.9g\n",
        place, what, sizeof(S), long(s.batch), long(s.rows), long(s.groups), long(s.columns),
        s.threads, long(i), got[i], want[i]);
    ++failures;
    return;
  }
}

void expect(bool holds, const char* what) {
  ++comparisons;
  if (holds) return;
  std::printf("%s %s\n", place, what);
  ++failures;
}

}  // namespace
