// Soft assignments in long double, with bounds of what the kernels may be off by. The bounds are
// those of docs/reliability.md.
#pragma once

#include <algorithm>

#include "numbers.h"

namespace {

using Real = long double;

template <class S>
constexpr Real epsilon = std::numeric_limits<Arithmetic<S>>::epsilon();
template <class S>
constexpr Real least_normal = std::numeric_limits<Arithmetic<S>>::min();
template <class S>
constexpr Real greatest = std::numeric_limits<Arithmetic<S>>::max();

// Of the storage type.
template <class S>
Real rounding() {
  if constexpr (std::is_floating_point_v<S>) return 0;
  return Real(1) / (2 << digits<S>);
}
template <class S>
Real largest_stored() {
  if constexpr (std::is_floating_point_v<S>) return std::numeric_limits<S>::max();
  return std::ldexp(Real(2) - Real(1) / (1 << digits<S>), bias<S>);
}
template <class S>
Real least_stored() {
  if constexpr (std::is_floating_point_v<S>) return 0;
  return std::ldexp(Real(1), 1 - bias<S> - digits<S>);
}

// A number, what the kernel may be off by, and the sum of the sizes of what it is a sum of.
struct Bounded {
  Real value = 0, error = 0, size = 0;
  int64_t count = 0;

  // A term with its own error.
  void add(Real term, Real term_error) {
    value += term, size += std::abs(term), error += term_error, ++count;
  }
  // The sum's own rounding, and products that leave the range below.
  template <class S>
  Bounded summed() const {
    Bounded out = *this;
    out.error += (count + 8) * epsilon<S> * (size + 64 * least_normal<S>);
    return out;
  }
};

// A = softmax(logits). A[k,g] is off by `relative` of it, and 0 below the smallest normal number.
template <class S>
struct Softmax {
  int64_t rows, groups;
  std::vector<Real> a, depth, relative, entropy, entropy_error;
  bool decided = true;

  Softmax(int64_t rows, int64_t groups, const Array<S>& logits)
      : rows(rows),
        groups(groups),
        a(rows * groups),
        depth(a),
        relative(a),
        entropy(rows),
        entropy_error(rows) {
    constexpr Real eps = epsilon<S>, nothing = std::is_same_v<Arithmetic<S>, float> ? 110 : 760;
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t at = k * groups;
      Real most = -INFINITY, total = 0, moment = 0;
      for (int64_t g = 0; g < groups; ++g) most = std::max<Real>(most, logits[at + g]);
      for (int64_t g = 0; g < groups; ++g) {
        depth[at + g] = logits[at + g] - most;
        total += a[at + g] = std::exp(depth[at + g]);
        if (a[at + g] > 0) moment -= a[at + g] * depth[at + g];
      }
      int64_t beside = -1;
      // The pivot is the largest logit, or the first if no sum loses its range by it.
      const Real above = std::min<Real>(most - logits[at], 45);
      Real slack = 0;
      for (int64_t g = 0; g < groups; ++g) {
        a[at + g] /= total;
        beside += depth[at + g] > -nothing;
        const Real distance = std::min<Real>(-depth[at + g], 1100) + 2 * above;
        relative[at + g] = eps * (10 + Real(groups) / 2 + 1.3L * distance);
        if (a[at + g] > 0) slack += a[at + g] * (relative[at + g] + 4 * eps) * (1 - depth[at + g]);
      }
      decided &= beside == 0;
      entropy[k] = std::log(total) + moment / total;
      entropy_error[k] = slack + eps * (groups + 8) * (moment / total + std::log(total));
    }
  }
  Real error(int64_t i) const { return relative[i] * a[i] + least_normal<S>; }
  Real worst() const { return a.empty() ? 0 : *std::max_element(relative.begin(), relative.end()); }

  // From a gradient in A of one row, that in its logits.
  void in_logits(int64_t k, Bounded* gradient) const {
    const int64_t at = k * groups;
    constexpr Real eps = epsilon<S>;
    Bounded mean;
    Real most = 0;
    for (int64_t g = 0; g < groups; ++g) most = std::max(most, gradient[g].size);
    for (int64_t g = 0; g < groups; ++g)
      mean.add(a[at + g] * gradient[g].value,
               error(at + g) * std::abs(gradient[g].value) + a[at + g] * gradient[g].error);
    mean = mean.template summed<S>();
    for (int64_t g = 0; g < groups; ++g) {
      const Real slope = gradient[g].value - mean.value;
      const Real size = gradient[g].size + mean.size;  // that of others is for the range alone
      const Real off = gradient[g].error + mean.error + 8 * eps * size;
      gradient[g] = {a[at + g] * slope,
                     a[at + g] * off + relative[at + g] * a[at + g] * std::abs(slope) +
                         2 * least_normal<S> * (size + 1000),
                     most, 1};
    }
  }
};

struct Worst {
  const char* what;
  Real ratio;
};
std::vector<Worst> worst;

// Numbers whose sums leave the range of the arithmetic are not compared.
template <class S>
bool near(const char* what, Real got, const Bounded& want) {
  ++comparisons;
  if (!(want.size < greatest<Arithmetic<S>> / 8)) return true;
  const Real error = want.error + (std::abs(want.value) + want.error) * rounding<S>() +
                     least_stored<S>() + 64 * least_normal<S> * epsilon<S>;
  if (std::abs(want.value) + error >= largest_stored<S>() && std::isinf(got)) return true;
  const Real off = std::abs(got - want.value);
  auto found = std::find_if(worst.begin(), worst.end(), [&](auto& w) { return w.what == what; });
  if (found == worst.end()) found = worst.insert(found, {what, 0});
  if (off <= error) found->ratio = std::max(found->ratio, off / error);
  return off <= error;
}

}  // namespace
