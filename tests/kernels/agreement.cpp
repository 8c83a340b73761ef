// Every kernel of every instruction set that this processor runs, against plain loops in double
// over the numbers as they are stored. Says what differs; the exit status is 1 if anything does.
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/segmentation.h"

using namespace equishare;

namespace {

using Numbers = std::vector<double>;
std::mt19937 generator(0);
const char* place = "";
int failures = 0, comparisons = 0;

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

// Labels of one width below `groups`.
struct Drawn {
  LabelType type;
  std::vector<int64_t> value;
  std::vector<unsigned char> stored;
  Drawn(LabelType type, int64_t count, int64_t groups) : type(type), value(count) {
    for (int64_t& label : value) label = generator() % groups;
    write();
  }
  void write() {
    constexpr size_t widths[] = {1, 2, 4, 8};
    const size_t width = widths[static_cast<int>(type)];
    stored.resize(value.size() * width);
    for (size_t i = 0; i < stored.size(); ++i)
      stored[i] = value[i / width] >> 8 * (i % width);  // the lowest byte first
  }
  Labels labels(int64_t stride) const { return {stored.data(), type, stride}; }
};
constexpr LabelType label_types[] = {LabelType::u8, LabelType::i16, LabelType::i32, LabelType::i64};

template <class S>
void check_hard(const SharingKernels<S>& kernels, const Shape& s, LabelType type) {
  if (type == LabelType::u8 && s.groups > 256) return;
  const int64_t rows = s.batch * s.rows, groups = s.batch * s.groups, c = s.columns;
  for (const int64_t stride : {int64_t(0), s.rows}) {
    Drawn labels(type, stride ? rows : s.rows, s.groups);
    Array<S> values = drawn<S>(groups * c), x = drawn<S>(rows * c), gathered(rows * c),
             scattered(groups * c);
    Numbers found(rows * c), sums(groups * c);
    for (int64_t i = 0; i < rows * c; ++i) {
      const int64_t k = i / c, b = k / s.rows;
      const int64_t to = (b * s.groups + labels.value[b * stride + k % s.rows]) * c + i % c;
      found[i] = values[to], sums[to] += x[i];
    }
    const HardArgs<S> gather = {s, labels.labels(stride), values.data(), gathered.data()};
    const HardArgs<S> scatter = {s, labels.labels(stride), x.data(), scattered.data()};
    expect(kernels.hard_gather(gather) && kernels.hard_scatter(scatter),
           "labels in range are refused");
    compare("hard_gather", s, gathered, found);
    compare("hard_scatter", s, scattered, sums);
    if (rows * c == 0 || (type == LabelType::u8 && s.groups == 256)) continue;
    labels.value.back() = s.groups;
    labels.write();
    expect(!kernels.hard_gather(gather) && !kernels.hard_scatter(scatter),
           "a label out of range is taken");
  }
}

// Shape: samples, outputs, groups, inputs.
template <class S>
void check_linear(const SharingKernels<S>& kernels, const Shape& s, LabelType type) {
  if (type == LabelType::u8 && s.groups > 256) return;
  const int64_t n = s.batch, o = s.rows, g = s.groups, inputs = s.columns;
  Drawn labels(type, o * inputs, g);
  Array<S> x = drawn<S>(n * inputs), values = drawn<S>(g), bias = drawn<S>(o), u = drawn<S>(n * o);
  Array<S> y(n * o), grad_x(n * inputs), grad_values(g);
  for (const bool with : {false, true}) {
    Numbers out(n * o), in_x(n * inputs), in_values(g);
    for (int64_t j = 0; j < n * o; ++j) {
      if (with) out[j] = bias[j % o];
      for (int64_t i = 0; i < inputs; ++i) {
        const int64_t label = labels.value[j % o * inputs + i], at = j / o * inputs + i;
        out[j] += x[at] * values[label], in_x[at] += u[j] * values[label],
            in_values[label] += u[j] * x[at];
      }
    }
    const Labels read = labels.labels(0);
    bool fine = kernels.shared_linear({n, o, inputs, g, s.threads, read, x.data(), values.data(),
                                       with ? bias.data() : nullptr, y.data()});
    compare("shared_linear", s, y, out);
    fine &= kernels.shared_linear_backward({n, o, inputs, g, s.threads, read, x.data(),
                                            values.data(), u.data(), with ? grad_x.data() : nullptr,
                                            grad_values.data()});
    compare("shared_linear_backward in values", s, grad_values, in_values);
    fine &= kernels.shared_linear_backward({n, o, inputs, g, s.threads, read, x.data(),
                                            values.data(), u.data(), grad_x.data(),
                                            with ? grad_values.data() : nullptr});
    compare("shared_linear_backward in x", s, grad_x, in_x);
    expect(fine, "labels in range are refused");
  }
}

template <class T>
void check_functions(const SearchKernels<T>& kernels) {
  for (int64_t count = 0; count < 40; ++count) {
    Array<T> t = drawn<T>(count, 9), power(count), log(count);
    Numbers powers(count), logs(count);
    for (int64_t i = 0; i < count; ++i) powers[i] = std::exp2(t[i]);
    kernels.exp2({count, t.data(), power.data()});
    compare("exp2", {0, 0, 0, count, 1}, power, powers);
    for (int64_t i = 0; i < count; ++i) t.stored[i] = T(1 + power[i]), logs[i] = std::log(t[i]);
    kernels.log({count, t.data(), log.data()});
    compare("log", {0, 0, 0, count, 1}, log, logs);
  }
}

void check_segmentation() {
  for (const int64_t count : {1, 2, 7, 40}) {
    Numbers value(count), weight(count);
    for (int64_t i = 0; i < count; ++i)
      value[i] = i + 0.4 * std::sin(5.0 * i), weight[i] = 1 + i % 3;
    const auto cost = [&](int64_t from, int64_t to) {
      double w = 0, mean = 0, sum = 0;
      for (int64_t i = from; i < to; ++i) w += weight[i], mean += weight[i] * value[i];
      for (int64_t i = from; i < to; ++i) sum += weight[i] * std::pow(value[i] - mean / w, 2);
      return sum;
    };
    std::vector<int32_t> start(count * count);
    Array<double> least(count);
    segmentation_path({value.data(), weight.data(), count, count, start.data(), least.data()});
    Numbers best(count + 1, INFINITY), costs, told;
    best[0] = 0;
    for (int64_t g = 1; g <= count; ++g) {
      for (int64_t end = count; end >= 0; --end) {
        double found = INFINITY;
        for (int64_t from = 0; from < end; ++from)
          found = std::min(found, best[from] + cost(from, end));
        best[end] = found;
      }
      costs.push_back(best[count]);
      told.push_back(0);
      for (int64_t s = 0; s < g; ++s)
        told.back() +=
            cost(start[(g - 1) * count + s], s + 1 < g ? start[(g - 1) * count + s + 1] : count);
    }
    compare("the costs of segmentation_path", {1, count, count, 1, 1}, Array<float>(least.stored),
            costs);
    compare("the segments of segmentation_path", {1, count, count, 1, 1},
            Array<float>(least.stored), told);
  }
}

constexpr Shape shapes[] = {
    {0, 3, 2, 1, 1},    {2, 0, 3, 2, 1},    {2, 3, 4, 0, 1},      {1, 1, 1, 1, 1},
    {2, 3, 1, 1, 2},    {3, 17, 33, 1, 1},  {40, 5, 6, 1, 2},     {1, 70, 300, 1, 2},
    {2, 6, 1100, 1, 1}, {1, 9, 2500, 1, 2}, {1, 200, 9, 3, 2},    {3, 31, 20, 70, 1},
    {1, 40, 256, 2, 1}, {2, 500, 64, 1, 3}, {1, 3000, 13, 17, 2}, {5, 64, 5, 33, 3},
};

template <class S>
void check_sharing(const SharingKernels<S>& kernels) {
  for (const Shape& shape : shapes) {
    check_soft(kernels, shape);
    for (const LabelType type : label_types)
      check_hard(kernels, shape, type), check_linear(kernels, shape, type);
  }
}

template <class T>
void check_search(const SearchKernels<T>& kernels) {
  for (const Shape& shape : shapes) check_penalties(kernels, shape), check_relax(kernels, shape);
  check_functions(kernels);
}

}  // namespace

int main() {
  const InstructionSet* sets[3];
  const int count = available_instruction_sets(sets);
  for (int i = 0; i < count; ++i) {
    place = sets[i]->name;
    check_sharing(sets[i]->f32);
    check_sharing(sets[i]->f64);
    check_sharing(sets[i]->bf16);
    check_sharing(sets[i]->f16);
    check_search(sets[i]->search_f32);
    check_search(sets[i]->search_f64);
    for (const LabelType type : label_types) {
      const Drawn labels(type, 1000, 100);
      const LabelRange range = sets[i]->label_range(labels.labels(0), 1000);
      expect(range.least == 0 && range.greatest == 99, "label_range");
    }
    std::printf("%s: %d comparisons, %d failures\n", place, comparisons, failures);
  }
  check_segmentation();
  return failures != 0;
}
