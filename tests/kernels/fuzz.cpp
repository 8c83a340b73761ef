// Random calls of every kernel of every instruction set that this processor runs, beside plain
// loops in long double: shapes, threads, and numbers up to the ends of the range.
//
//   fuzz CALLS [SEED]   CALLS calls on each; call i draws by SEED + i alone
#include <cstdlib>
#include <cstring>

#include "bounds.h"
#include "cpu/dispatch.h"
#include "labels.h"

namespace {

constexpr double inf = INFINITY;
unsigned long call = 0;

int64_t pick(std::initializer_list<double> choices) {
  return int64_t(choices.begin()[generator() % choices.size()]);
}
int64_t up_to(int64_t n) { return generator() % (n + 1); }
double normal() { return std::normal_distribution<double>()(generator); }
bool one_in(int n) { return generator() % n == 0; }

template <class S>
S stored(double x) {
  const double most = largest_stored<S>();
  return encoded<S>(std::isinf(x) ? x : std::clamp(x, -most, most));
}

Shape drawn_shape() {
  Shape s = {pick({0, 1, 1, 1, 2, 3, 9, 17}), up_to(12), 1 + up_to(20), 1, 1 + int(up_to(2))};
  if (one_in(8)) s.rows = 64 * up_to(4), s.batch = pick({1, 2});
  if (one_in(8)) s.groups = 64 + up_to(1200), s.rows = up_to(5), s.batch = 1;
  if (one_in(3)) s.columns = pick({0, 2, 3, 7, 33, 100});
  return s;
}

// Rows of any height and spread: masked, decided, equal, or with a first logit far from the rest.
template <class S>
Array<S> drawn_logits(const Shape& s) {
  constexpr double heights[] = {0, 0, 20, -20, 1e4, -1e4, 1e10, -1e10, -1e300, 1e300};
  constexpr double spreads[] = {0, 1, 3, 3, 30, 1e3, 1e10};
  constexpr double firsts[] = {-36, 36, -200, 200, -1e30, 1e30, -inf};
  Array<S> out(s.batch * s.rows * s.groups);
  for (int64_t k = 0; k < s.batch * s.rows; ++k) {
    const double height = heights[generator() % std::size(heights)];
    const double spread = spreads[generator() % std::size(spreads)];
    S* const row = out.data() + k * s.groups;
    for (int64_t g = 0; g < s.groups; ++g) {
      row[g] = stored<S>(height + spread * normal());
      if (g && one_in(9)) row[g] = stored<S>(one_in(2) ? -inf : -1e300);
    }
    if (s.groups > 1 && one_in(4)) row[0] = stored<S>(firsts[generator() % std::size(firsts)]);
    if (std::isinf(decoded(row[0]))) row[s.groups - 1] = stored<S>(height);
  }
  return out;
}

template <class S>
Array<S> drawn_numbers(int64_t count) {
  constexpr double scales[] = {1, 1, 1, 1e-30, 1e30, 1e38, 1e-38};
  Array<S> out(count);
  const double scale = scales[generator() % std::size(scales)];
  const bool equal = one_in(5), mixed = one_in(6);
  for (S& x : out.stored) {
    const double own = mixed ? scales[generator() % std::size(scales)] : scale;
    const double size = std::min(std::abs(normal()), 1.6);
    x = stored<S>(own * (equal ? 1 : one_in(2) ? size : -size));
    if (one_in(12)) x = stored<S>(0);
  }
  return out;
}

template <class S, class T = S>
void compare_all(const char* what, const Shape& s, const Array<S>& got,
                 const std::vector<Bounded>& want) {
  for (int64_t i = 0; i < got.size(); ++i) {
    if (near<S>(what, got[i], want[i])) continue;
    std::printf(
        "%s call %lu: %s of %zu bytes, %ld x %ld x %ld x %ld: [%ld] is %.9g, should be %.9Lg"
        " within %.3Lg\n",
        place, call, what, sizeof(S), long(s.batch), long(s.rows), long(s.groups), long(s.columns),
        long(i), got[i], want[i].value, want[i].error);
    ++failures;
    return;
  }
}

template <class S>
std::vector<Bounded> summed(std::vector<Bounded> sums) {
  for (Bounded& sum : sums) sum = sum.summed<S>();
  return sums;
}

template <class S>
void fuzz_soft(const SharingKernels<S>& kernels) {
  const Shape s = drawn_shape();
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, c = s.columns, G = s.groups;
  Array<S> logits = drawn_logits<S>(s), values = drawn_numbers<S>(groups * c),
           u = drawn_numbers<S>(rows * c), theta(rows * c), grad_logits(rows * G),
           grad_values(groups * c), scattered(groups * c);
  Array<Arithmetic<S>> stats(2 * rows);
  const Softmax<S> exact(rows, G, logits);
  kernels.soft_gather({s, logits.data(), values.data(), theta.data(), stats.data()});
  kernels.soft_scatter({s, logits.data(), u.data(), scattered.data()});
  kernels.soft_gather_backward({s, logits.data(), values.data(), u.data(), theta.data(),
                                stats.data(), grad_logits.data(), grad_values.data()});
  std::vector<Bounded> gathered(rows * c), sums(groups * c), slope(rows * G);
  for (int64_t i = 0; i < rows * G; ++i) {
    const int64_t k = i / G, g = k / std::max<int64_t>(s.rows, 1) * G + i % G;
    for (int64_t j = 0; j < c; ++j) {
      const Real v = values[g * c + j], x = u[k * c + j];
      gathered[k * c + j].add(exact.a[i] * v, exact.error(i) * std::abs(v));
      sums[g * c + j].add(exact.a[i] * x, exact.error(i) * std::abs(x));
      slope[i].add(v * x, epsilon<S> * std::abs(v * x));
    }
    slope[i] = slope[i].template summed<S>();
  }
  // theta is a stored number: beside tiny values it has few digits.
  for (int64_t i = 0; i < rows * G; ++i)
    for (int64_t j = 0; j < c; ++j)
      slope[i].error += std::abs(Real(u[i / G * c + j])) * 64 * least_normal<S> * epsilon<S>;
  for (int64_t k = 0; k < rows; ++k) exact.in_logits(k, slope.data() + k * G);
  compare_all("soft_gather", s, theta, summed<S>(gathered));
  compare_all("soft_scatter", s, scattered, summed<S>(sums));
  compare_all("soft_gather_backward in values", s, grad_values, summed<S>(sums));
  compare_all("soft_gather_backward in logits", s, grad_logits, slope);
}

// What the penalties add to a gradient in A, and the penalties themselves.
template <class T>
struct Penalties {
  std::vector<Bounded> entropy, column_norm, norms;

  Penalties(const Shape& s, const Softmax<T>& exact)
      : entropy(s.batch), column_norm(s.batch), norms(s.batch * s.groups) {
    const Real worst = exact.worst(), least = std::sqrt(least_normal<T>);
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t k = b * s.rows; k < (b + 1) * s.rows; ++k) {
        entropy[b].add(exact.entropy[k] / s.rows, exact.entropy_error[k] / s.rows);
        for (int64_t g = 0; g < s.groups; ++g)
          norms[b * s.groups + g].value += std::pow(exact.a[k * s.groups + g], Real(2));
      }
      for (int64_t g = 0; g < s.groups; ++g) {
        Bounded& norm = norms[b * s.groups + g];
        norm.value = std::sqrt(norm.value);
        norm.error = norm.value * (worst + (s.rows + 8) * epsilon<T>)+least * (s.rows + 1);
        column_norm[b].add(norm.value, norm.error);
      }
      entropy[b] = entropy[b].summed<T>(), column_norm[b] = column_norm[b].summed<T>();
    }
  }
  Bounded slope(const Shape& s, const Softmax<T>& exact, int64_t k, int64_t g, Real entropy_weight,
                Real norm_weight) const {
    const int64_t at = k * s.groups + g, b = k / s.rows;
    const Bounded& norm = norms[b * s.groups + g];
    const Real a = exact.a[at], eps = epsilon<T>;
    Bounded out;
    if (norm.value > 0) {
      const Real pull = norm_weight * a / norm.value;
      const Real off = norm.error / norm.value < 0.5 ? 4 * norm.error / norm.value : 2;
      out.add(pull, std::abs(norm_weight) * off + std::abs(pull) * exact.relative[at]);
    }
    if (a > 0) {
      const Real bend = std::log(a) + exact.entropy[k], weight = std::abs(entropy_weight) / s.rows;
      out.add(-entropy_weight * bend / s.rows,
              weight * (exact.entropy_error[k] + exact.relative[at] +
                        8 * eps * (exact.entropy[k] - std::log(a))));
    }
    return out;
  }
};

template <class T>
void compare_entropy(const Shape& s, const Softmax<T>& exact, const Array<T>& entropy) {
  for (int64_t b = 0; s.rows && b < s.batch; ++b) {
    if (entropy[b] >= 0 && !(exact.decided && entropy[b] != 0)) continue;
    std::printf("%s call %lu: entropy of %s rows is %.9g\n", place, call,
                exact.decided ? "decided" : "any", entropy[b]);
    ++failures;
  }
}

template <class T>
void fuzz_penalties(const SearchKernels<T>& kernels) {
  Shape s = drawn_shape();
  s.columns = 1, s.rows = std::max<int64_t>(s.rows, 1);
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, G = s.groups;
  Array<T> logits = drawn_logits<T>(s), values = drawn_numbers<T>(groups),
           u = drawn_numbers<T>(rows), weight = drawn<T>(s.batch), norm_weight = drawn<T>(s.batch),
           theta(rows), entropy(s.batch), column_norm(s.batch), stats(3 * rows), norms(groups),
           grad_logits(rows * G), grad_values(groups);
  const Softmax<T> exact(rows, G, logits);
  const Penalties<T> penalties(s, exact);
  const bool joint = one_in(2);
  const auto optional = [&](Array<T>& array) { return joint ? array.data() : nullptr; };
  kernels.penalties({s, logits.data(), optional(values), optional(theta), entropy.data(),
                     column_norm.data(), stats.data(), norms.data()});
  kernels.penalties_backward({s, logits.data(), optional(values), optional(u), optional(theta),
                              stats.data(), norms.data(), weight.data(), norm_weight.data(),
                              grad_logits.data(), optional(grad_values)});
  std::vector<Bounded> gathered(rows), sums(groups), slope(rows * G);
  for (int64_t i = 0; i < rows * G; ++i) {
    const int64_t k = i / G, b = k / s.rows, g = b * G + i % G;
    slope[i] = penalties.slope(s, exact, k, i % G, weight[b], norm_weight[b]);
    if (!joint) continue;
    const Real v = values[g], x = u[k];
    gathered[k].add(exact.a[i] * v, exact.error(i) * std::abs(v));
    sums[g].add(exact.a[i] * x, exact.error(i) * std::abs(x));
    slope[i].add(v * x, 4 * epsilon<T> * std::abs(v * x));
  }
  for (int64_t k = 0; k < rows; ++k) exact.in_logits(k, slope.data() + k * G);
  compare_entropy(s, exact, entropy);
  compare_all("entropy", s, entropy, penalties.entropy);
  compare_all("column_norm", s, column_norm, penalties.column_norm);
  compare_all("penalties_backward in logits", s, grad_logits, slope);
  if (!joint) return;
  compare_all("soft_gather_penalties", s, theta, summed<T>(gathered));
  compare_all("penalties_backward in values", s, grad_values, summed<T>(sums));
}

template <class T>
void fuzz_relax(const SearchKernels<T>& kernels) {
  Shape s = drawn_shape();
  s.columns = 1, s.rows = std::max<int64_t>(s.rows, 1);
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, G = s.groups;
  Array<T> logits = drawn_logits<T>(s), x = drawn<T>(rows), u = drawn<T>(rows),
           weight = drawn<T>(s.batch), norm_weight = drawn<T>(s.batch), theta(rows), psi(groups),
           colsum(groups), entropy(s.batch), column_norm(s.batch), gradient(rows * G),
           workspace(kernels.relax_workspace(s) + 64 / sizeof(T));
  kernels.relax_forward({s, logits.data(), x.data(), theta.data(), psi.data(), colsum.data(),
                         entropy.data(), column_norm.data(), aligned(workspace)});
  RelaxBackwardArgs<T> backward = {};
  backward.shape = s, backward.logits = logits.data(), backward.x = x.data();
  backward.theta_weight = u.data(), backward.entropy_weight = weight.data();
  backward.column_norm_weight = norm_weight.data(), backward.workspace = aligned(workspace);
  backward.grad_logits = gradient.data();
  kernels.relax_backward(backward);
  const Softmax<T> exact(rows, G, logits);
  const Penalties<T> penalties(s, exact);
  std::vector<Bounded> total(groups), mean(groups), pull(groups), out(rows), slope(rows * G);
  for (int64_t i = 0; i < rows * G; ++i) {
    const int64_t k = i / G, g = k / s.rows * G + i % G;
    total[g].add(exact.a[i], exact.error(i));
    mean[g].add(exact.a[i] * x[k], exact.error(i) * std::abs(x[k]));
    pull[g].add(exact.a[i] * u[k], exact.error(i) * std::abs(u[k]));
  }
  total = summed<T>(total), mean = summed<T>(mean), pull = summed<T>(pull);
  // Means over a group that hardly any row uses are anything between the numbers.
  for (int64_t g = 0; g < groups; ++g)
    for (Bounded* sum : {&mean[g], &pull[g]}) {
      const bool used = total[g].error < total[g].value / 2;
      if (total[g].value > 0) sum->value /= total[g].value;
      sum->size = 6;
      sum->error = used ? 2 * (sum->error + 6 * total[g].error) / total[g].value : 12;
    }
  for (int64_t i = 0; i < rows * G; ++i) {
    const int64_t k = i / G, b = k / s.rows, g = b * G + i % G;
    out[k].add(exact.a[i] * mean[g].value, exact.error(i) * 6 + exact.a[i] * mean[g].error);
    slope[i] = penalties.slope(s, exact, k, i % G, weight[b], norm_weight[b]);
    const Real apart = x[k] - mean[g].value;
    slope[i].add(u[k] * mean[g].value + pull[g].value * apart,
                 (std::abs(u[k]) + 6) * mean[g].error +
                     pull[g].error * (std::abs(apart) + mean[g].error) + 64 * epsilon<T>);
  }
  for (int64_t k = 0; k < rows; ++k) exact.in_logits(k, slope.data() + k * G);
  compare_entropy(s, exact, entropy);
  compare_all("relax_forward's colsum", s, colsum, total);
  compare_all("relax_forward's psi", s, psi, mean);
  compare_all("relax_forward", s, theta, summed<T>(out));
  compare_all("relax_forward's entropy", s, entropy, penalties.entropy);
  compare_all("relax_forward's column_norm", s, column_norm, penalties.column_norm);
  compare_all("relax_backward", s, gradient, slope);
}

template <class S>
void fuzz_hard(const SharingKernels<S>& kernels) {
  Shape s = drawn_shape();
  if (one_in(4)) s.rows = 500 + up_to(5000), s.batch = 1, s.columns = 1;
  const LabelType type = s.groups > 256 ? LabelType::i16 : LabelType(up_to(3));
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, c = s.columns;
  const int64_t stride = one_in(2) ? s.rows : 0;
  Drawn labels(type, stride ? rows : s.rows, s.groups);
  Array<S> values = drawn_numbers<S>(groups * c), x = drawn_numbers<S>(rows * c),
           gathered(rows * c), scattered(groups * c);
  std::vector<Bounded> found(rows * c), sums(groups * c);
  for (int64_t i = 0; i < rows * c; ++i) {
    const int64_t k = i / c, b = k / s.rows;
    const int64_t to = (b * s.groups + labels.value[b * stride + k % s.rows]) * c + i % c;
    found[i].value = values[to];
    sums[to].add(x[i], std::abs(x[i]) * rows * 0x1p-52L);
  }
  for (Bounded& sum : sums) sum.error += std::abs(sum.value) * epsilon<S>;
  expect(kernels.hard_gather({s, labels.labels(stride), values.data(), gathered.data()}) &&
             kernels.hard_scatter({s, labels.labels(stride), x.data(), scattered.data()}),
         "labels in range are refused");
  compare_all("hard_gather", s, gathered, found);
  compare_all("hard_scatter", s, scattered, sums);
}

template <class S>
void fuzz_linear(const SharingKernels<S>& kernels) {
  const int64_t n = up_to(9), o = 1 + up_to(20), inputs = 1 + up_to(40) + (one_in(5) ? 300 : 0);
  const int64_t g = pick({1, 2, 7, 16, 17, 40, 200, 300});
  const int threads = 1 + int(up_to(2));
  const Shape s = {n, o, g, inputs, threads};
  Drawn labels(g > 256 ? LabelType::i16 : linear_types[up_to(4)], o * inputs, g, inputs);
  Array<S> x = drawn_numbers<S>(n * inputs), values = drawn_numbers<S>(g),
           bias = drawn_numbers<S>(o), u = drawn_numbers<S>(n * o), y(n * o), grad_x(n * inputs),
           grad_values(g);
  const Labels read = labels.labels(0);
  bool fine = kernels.shared_linear(
      {n, o, inputs, g, threads, read, x.data(), values.data(), bias.data(), y.data()});
  fine &= kernels.shared_linear_backward({n, o, inputs, g, threads, read, x.data(), values.data(),
                                          u.data(), grad_x.data(), grad_values.data()});
  expect(fine, "labels in range are refused");
  std::vector<Bounded> out(n * o), in_x(n * inputs), in_values(g);
  for (int64_t j = 0; j < n * o; ++j) {
    out[j].add(bias[j % o], 0);
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t label = labels.value[j % o * inputs + i], at = j / o * inputs + i;
      out[j].add(Real(x[at]) * values[label], 0), in_x[at].add(Real(u[j]) * values[label], 0);
      in_values[label].add(Real(u[j]) * x[at], 0);
    }
  }
  compare_all("shared_linear", s, y, summed<S>(out));
  compare_all("shared_linear_backward in x", s, grad_x, summed<S>(in_x));
  compare_all("shared_linear_backward in values", s, grad_values, summed<S>(in_values));
}

template <class S>
void fuzz_sharing(const SharingKernels<S>& kernels, unsigned kind) {
  if (kind < 2) return fuzz_soft(kernels);
  kind == 2 ? fuzz_hard(kernels) : fuzz_linear(kernels);
}

void fuzz(const InstructionSet& set) {
  const unsigned kind = generator() % 4;
  switch (generator() % 6) {
    case 0:
      return fuzz_sharing(set.f32, kind);
    case 1:
      return fuzz_sharing(set.f64, kind);
    case 2:
      return fuzz_sharing(set.bf16, kind);
    case 3:
      return fuzz_sharing(set.f16, kind);
    case 4:
      return kind % 2 ? fuzz_penalties(set.search_f32) : fuzz_relax(set.search_f32);
    default:
      return kind % 2 ? fuzz_penalties(set.search_f64) : fuzz_relax(set.search_f64);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2 || count > 3) return std::fprintf(stderr, "usage: fuzz CALLS [SEED]\n"), 2;
  const unsigned long calls = std::strtoul(arguments[1], nullptr, 10);
  const unsigned long seed = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 0;
  const InstructionSet* sets[3];
  const int available = available_instruction_sets(sets);
  for (int i = 0; i < available; ++i) {
    place = sets[i]->name, comparisons = 0;
    const int before = failures;
    for (call = seed; call < seed + calls; ++call) {
      generator.seed(static_cast<unsigned>(call));
      fuzz(*sets[i]);
    }
    std::printf("%s: %lu calls, %ld comparisons, %d failures\n", place, calls, long(comparisons),
                failures - before);
    for (const Worst& w : worst) std::printf("  %-34s %.2Lf of its bound\n", w.what, w.ratio);
    worst.clear();
  }
  return failures != 0;
}
