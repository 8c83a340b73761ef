// Soft sharing, its penalties and the relaxation: kernels beside plain loops.
#pragma once

#include "cpu/dispatch.h"
#include "numbers.h"

namespace {

// Logits with rows of any height, and none for some groups.
template <class S>
Array<S> drawn_logits(const Shape& s) {
  Array<S> out = drawn<S>(s.batch * s.rows * s.groups, 3);
  for (int64_t i = 0; i < out.size(); ++i) {
    const int64_t k = i / s.groups, g = i % s.groups;
    if (g && generator() % 8 == 0)
      out.stored[i] = encoded<S>(-INFINITY);
    else
      out.stored[i] = encoded<S>(out[i] + (k % 3 - 1) * 20);
  }
  return out;
}

struct Row {
  double largest = -INFINITY, total = 0, entropy = 0;
};

// A = softmax(logits) and what is said of each row.
template <class S>
struct Assignment {
  Numbers a;
  std::vector<Row> rows;
  Shape shape;
  Assignment(const Shape& s, const Array<S>& logits)
      : a(logits.size()), rows(s.batch * s.rows), shape(s) {
    for (size_t k = 0; k < rows.size(); ++k) {
      Row& row = rows[k];
      double* const to = &a[k * s.groups];
      for (int64_t g = 0; g < s.groups; ++g)
        row.largest = std::max(row.largest, logits[k * s.groups + g]);
      for (int64_t g = 0; g < s.groups; ++g)
        row.total += to[g] = std::exp(logits[k * s.groups + g] - row.largest);
      for (int64_t g = 0; g < s.groups; ++g) {
        to[g] /= row.total;
        if (to[g] > 0) row.entropy -= to[g] * std::log(to[g]);
      }
    }
  }
  // f(b, k over all problems, g over all problems, A[k, g], index of A[k, g]).
  template <class F>
  void each(F f) const {
    for (size_t i = 0; i < a.size(); ++i) {
      const int64_t k = i / shape.groups, b = k / shape.rows;
      f(b, k, b * shape.groups + int64_t(i) % shape.groups, a[i], i);
    }
  }
  // From a gradient in A, that in the logits.
  Numbers in_logits(Numbers slope) const {
    Numbers mean(rows.size());
    each([&](auto, int64_t k, auto, double p, size_t i) { mean[k] += p * slope[i]; });
    each([&](auto, int64_t k, auto, double p, size_t i) { slope[i] = p * (slope[i] - mean[k]); });
    return slope;
  }
  Numbers norms() const {
    Numbers out(shape.batch * shape.groups);
    each([&](auto, auto, int64_t g, double p, auto) { out[g] += p * p; });
    for (double& x : out) x = std::sqrt(x);
    return out;
  }
  // Adds to a gradient in A those of both penalties.
  void add_penalties(const Array<S>& entropy, const Array<S>& column_norm, Numbers& slope) const {
    const Numbers n = norms();
    each([&](int64_t b, auto, int64_t g, double p, size_t i) {
      if (p > 0)
        slope[i] += column_norm[b] * p / n[g] - entropy[b] * (std::log(p) + 1) / shape.rows;
    });
  }
  void compare_penalties(const Array<S>& entropy, const Array<S>& column_norm) const {
    Numbers e(shape.batch), c(shape.batch);
    const Numbers n = norms();
    for (size_t k = 0; k < rows.size(); ++k) e[k / shape.rows] += rows[k].entropy;
    for (double& x : e) x /= shape.rows;
    for (size_t g = 0; g < n.size(); ++g) c[g / shape.groups] += n[g];
    compare("entropy", shape, entropy, e);
    compare("column norm", shape, column_norm, c);
  }
};

template <class S>
void check_soft(const SharingKernels<S>& kernels, const Shape& s) {
  using T = Arithmetic<S>;
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, c = s.columns;
  Array<S> logits = drawn_logits<S>(s), values = drawn<S>(groups * c), u = drawn<S>(rows * c);
  Array<S> theta(rows * c), grad_logits(rows * s.groups), grad_values(groups * c),
      scattered(groups * c);
  Array<T> stats(2 * rows);
  const Assignment<S> exact(s, logits);
  kernels.soft_gather({s, logits.data(), values.data(), theta.data(), stats.data()});
  kernels.soft_scatter({s, logits.data(), u.data(), scattered.data()});
  Numbers gathered(rows * c), sums(groups * c), slope(rows * s.groups), heights, told;
  exact.each([&](auto, int64_t k, int64_t g, double p, size_t i) {
    for (int64_t j = 0; j < c; ++j) {
      gathered[k * c + j] += p * values[g * c + j];
      sums[g * c + j] += p * u[k * c + j];
      slope[i] += values[g * c + j] * u[k * c + j];
    }
  });
  for (int64_t k = 0; k < rows; ++k) {
    heights.push_back(exact.rows[k].largest + std::log(exact.rows[k].total));
    told.push_back(stats[2 * k] - std::log(stats[2 * k + 1]));
  }
  compare("soft_gather", s, theta, gathered);
  compare("soft_gather's statistics", s, Array<T>(told), heights);
  compare("soft_scatter", s, scattered, sums);
  slope = exact.in_logits(slope);
  for (S* out : {grad_values.data(), static_cast<S*>(nullptr)}) {
    kernels.soft_gather_backward({s, logits.data(), values.data(), u.data(), theta.data(),
                                  stats.data(), grad_logits.data(), out});
    compare("soft_gather_backward in logits", s, grad_logits, slope);
    grad_logits = Array<S>(rows * s.groups);
  }
  compare("soft_gather_backward in values", s, grad_values, sums);
}

template <class T>
void check_penalties(const SearchKernels<T>& kernels, Shape s) {
  s.columns = 1;
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups;
  Array<T> logits = drawn_logits<T>(s), values = drawn<T>(groups), u = drawn<T>(rows), theta(rows);
  Array<T> entropy(s.batch), column_norm(s.batch), stats(3 * rows), norms(groups);
  Array<T> weight = drawn<T>(s.batch), norm_weight = drawn<T>(s.batch),
           grad_logits(rows * s.groups), grad_values(groups);
  const Assignment<T> exact(s, logits);
  Numbers gathered(rows), sums(groups), of_stats;
  for (const Row& row : exact.rows)
    of_stats.insert(of_stats.end(), {row.largest, std::log(row.total), row.entropy});
  exact.each([&](auto, int64_t k, int64_t g, double p, auto) {
    gathered[k] += p * values[g], sums[g] += p * u[k];
  });
  for (const bool joint : {false, true}) {
    const auto optional = [&](Array<T>& array) { return joint ? array.data() : nullptr; };
    Numbers slope(rows * s.groups);
    if (joint)
      exact.each([&](auto, int64_t k, int64_t g, auto, size_t i) { slope[i] = u[k] * values[g]; });
    exact.add_penalties(weight, norm_weight, slope);
    kernels.penalties({s, logits.data(), optional(values), optional(theta), entropy.data(),
                       column_norm.data(), stats.data(), norms.data()});
    exact.compare_penalties(entropy, column_norm);
    compare("penalties' statistics", s, stats, of_stats);
    compare("norms", s, norms, exact.norms());
    kernels.penalties_backward({s, logits.data(), optional(values), optional(u), optional(theta),
                                stats.data(), norms.data(), weight.data(), norm_weight.data(),
                                grad_logits.data(), optional(grad_values)});
    compare("penalties_backward in logits", s, grad_logits, exact.in_logits(slope));
  }
  compare("joint theta", s, theta, gathered);
  compare("joint gradient in values", s, grad_values, sums);
}

template <class T>
void check_relax(const SearchKernels<T>& kernels, Shape s) {
  s.columns = 1;
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups;
  const T rate = T(0.1), beta1 = T(0.9), beta2 = T(0.99), epsilon = T(0.1);
  Array<T> logits = drawn_logits<T>(s), x = drawn<T>(rows), u = drawn<T>(rows),
           weight = drawn<T>(s.batch);
  Array<T> norm_weight = drawn<T>(s.batch), theta(rows), psi(groups), colsum(groups),
           entropy(s.batch);
  Array<T> column_norm(s.batch), workspace(kernels.relax_workspace(s) + 64 / sizeof(T)),
      moments(kernels.relax_moments(s), 0);
  Array<T> gradient(logits.size());
  Numbers first(logits.size()), second(logits.size());
  for (int step = 1; step <= 2; ++step) {
    const Assignment<T> exact(s, logits);
    kernels.relax_forward({s, logits.data(), x.data(), theta.data(), psi.data(), colsum.data(),
                           entropy.data(), column_norm.data(), aligned(workspace)});
    Numbers total(groups), mean(groups), out(rows), pull(groups), slope(logits.size());
    exact.each(
        [&](auto, int64_t k, int64_t g, double p, auto) { total[g] += p, mean[g] += p * x[k]; });
    for (int64_t g = 0; g < groups; ++g) mean[g] = total[g] > 0 ? mean[g] / total[g] : 0;
    exact.each([&](auto, int64_t k, int64_t g, double p, auto) {
      out[k] += p * mean[g], pull[g] += p * u[k];
    });
    exact.each([&](auto, int64_t k, int64_t g, auto, size_t i) {
      slope[i] = u[k] * mean[g] + (total[g] > 0 ? pull[g] * (x[k] - mean[g]) / total[g] : 0);
    });
    exact.add_penalties(weight, norm_weight, slope);
    slope = exact.in_logits(slope);
    compare("relax_forward's theta", s, theta, out);
    compare("relax_forward's psi", s, psi, mean);
    compare("relax_forward's colsum", s, colsum, total);
    exact.compare_penalties(entropy, column_norm);
    RelaxBackwardArgs<T> backward = {};
    backward.shape = s, backward.x = x.data(), backward.theta_weight = u.data();
    backward.entropy_weight = weight.data(), backward.column_norm_weight = norm_weight.data();
    backward.workspace = aligned(workspace), backward.logits = logits.data(),
    backward.grad_logits = gradient.data();
    kernels.relax_backward(backward);
    compare("relax_backward", s, gradient, slope);
    backward.grad_logits = nullptr, backward.moments = moments.data();
    backward.rate = rate, backward.beta1 = beta1, backward.beta2 = beta2,
    backward.epsilon = epsilon;
    backward.correction1 = T(1 - std::pow(beta1, step)),
    backward.correction2 = T(1 - std::pow(beta2, step));
    Numbers stepped(logits.size());
    for (int64_t i = 0; i < logits.size(); ++i) {
      first[i] = beta1 * first[i] + (1 - beta1) * slope[i];
      second[i] = beta2 * second[i] + (1 - beta2) * slope[i] * slope[i];
      const double root = std::sqrt(second[i] / backward.correction2) + epsilon;
      stepped[i] = logits[i] - rate * first[i] / backward.correction1 / root;
    }
    kernels.relax_backward(backward);
    for (int64_t i = 0; i < logits.size(); ++i)
      if (std::isinf(stepped[i]) && logits[i] == stepped[i]) stepped[i] = 0, logits.stored[i] = 0;
    compare("the Adam step of relax_backward", s, logits, stepped);
  }
}

}  // namespace
