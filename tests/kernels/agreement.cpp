// Every kernel of every instruction set that this processor runs, against plain loops in double
// over the numbers as they are stored. Says what differs; the exit status is 1 if anything does.
#include "cpu/curvature.h"
#include "cpu/segmentation.h"
#include "labels.h"
#include "soft.h"

namespace {

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
  Drawn labels(type, o * inputs, g, inputs);
  Array<S> x = drawn<S>(n * inputs), values = drawn<S>(g), bias = drawn<S>(o), u = drawn<S>(n * o);
  Array<S> y(n * o), grad_x(n * inputs), grad_values(g);
  for (const int64_t block : {int64_t(1), int64_t(3), o + 1}) {
    Numbers multiples((o + block - 1) / block * g);
    for (size_t i = 0; i < multiples.size(); ++i) multiples[i] = values[i % g] * (1 + i / g % 5);
    Array<S> codebooks(multiples);
    Numbers out(n * o);
    for (int64_t j = 0; j < n * o * inputs; ++j) {
      const int64_t row = j / inputs % o, label = labels.value[row * inputs + j % inputs];
      out[j / inputs] +=
          x[j / inputs / o * inputs + j % inputs] * codebooks[row / block * g + label];
    }
    expect(kernels.shared_linear({n, o, inputs, g, s.threads, labels.labels(block), x.data(),
                                  codebooks.data(), nullptr, y.data()}),
           "labels in range are refused");
    compare("shared_linear with codebooks", s, y, out);
  }
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
  const int64_t most = type == LabelType::u4 ? 16 : type == LabelType::u8 ? 256 : g + 1;
  if (n * o * inputs == 0 || g >= most) return;
  labels.value.back() = g;
  labels.write();
  const Labels read = labels.labels(0);
  expect(!kernels.shared_linear(
             {n, o, inputs, g, s.threads, read, x.data(), values.data(), nullptr, y.data()}) &&
             !kernels.shared_linear_backward({n, o, inputs, g, s.threads, read, x.data(),
                                              values.data(), u.data(), grad_x.data(), nullptr}),
         "a label out of range is taken");
}

template <class T>
void check_functions(const SearchKernels<T>& kernels) {
  for (int64_t count = 0; count < 40; ++count) {
    Array<T> t = drawn<T>(count, 9), power(count), log(count);
    Numbers powers(count), logs(count);
    for (int64_t i = 0; i < count; ++i) powers[i] = std::exp(t[i]);
    kernels.exp({count, t.data(), power.data()});
    compare("exp", {0, 0, 0, count, 1}, power, powers);
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

void check_curvature() {
  for (const int64_t length : {1, 2, 9}) {
    for (const bool is_shared : {true, false}) {
      const int64_t blocks = 3, groups = 4;
      Numbers scale(blocks * length), curvature(blocks * length * length);
      std::vector<int64_t> label(blocks * length);
      for (int64_t k = 0; k < blocks * length; ++k)
        label[k] = (5 * k + k / 3) % groups, scale[k] = 1 + 0.1 * (k % 7);
      for (int64_t b = 0; b < blocks; ++b)
        for (int64_t i = 0; i < length; ++i)
          for (int64_t j = 0; j < length; ++j)
            curvature[(b * length + i) * length + j] = std::cos(1.0 + b + i * j) + (i == j) * 9;
      Array<double> total(groups * groups);
      gather_curvature({label.data(), scale.data(), curvature.data(), is_shared, blocks, length,
                        groups, total.data()});
      Numbers expected(groups * groups);
      for (int64_t b = 0; b < blocks; ++b)
        for (int64_t i = 0; i < length; ++i)
          for (int64_t j = 0; j < length; ++j)
            expected[label[b * length + i] * groups + label[b * length + j]] +=
                scale[b * length + i] * scale[b * length + j] *
                curvature[((is_shared ? 0 : b) * length + i) * length + j];
      compare("gather_curvature", {blocks, length, groups, 1, 1}, total, expected);
    }
  }
}

constexpr Shape shapes[] = {
    {0, 3, 2, 1, 1},     {2, 0, 3, 2, 1},    {2, 3, 4, 0, 1},      {1, 1, 1, 1, 1},
    {2, 3, 1, 1, 2},     {3, 17, 33, 1, 1},  {40, 5, 6, 1, 2},     {1, 70, 300, 1, 2},
    {2, 6, 1100, 1, 1},  {1, 9, 2500, 1, 2}, {1, 200, 9, 3, 2},    {3, 31, 20, 70, 1},
    {1, 40, 256, 2, 1},  {2, 500, 64, 1, 3}, {1, 3000, 13, 17, 2}, {5, 64, 5, 33, 3},
    {1, 7, 16, 4300, 2}, {1, 9, 40, 203, 1}, {17, 9, 16, 301, 2},  {1, 140, 64, 200, 2},
};

template <class S>
void check_sharing(const SharingKernels<S>& kernels) {
  for (const Shape& shape : shapes) {
    check_soft(kernels, shape);
    for (const LabelType type : label_types) check_hard(kernels, shape, type);
    for (const LabelType type : linear_types) check_linear(kernels, shape, type);
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
    std::printf("%s: %ld comparisons, %d failures\n", place, long(comparisons), failures);
  }
  check_curvature();
  check_segmentation();
  return failures != 0;
}
