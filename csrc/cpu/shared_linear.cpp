// y = x W^T with W[o,i] = values[label[o,i]]. W is never stored: tiles of it are made in cache, and
// for one sample its entries live in registers alone. Layouts: args.h.
#include "cpu/kernels.h"
#include "cpu/weight.h"
#include "cpu/widen.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T>
struct Linear {
  const SharedLinearArgs<T>& args;
  const Weight<T>& weight;

  T bias(int64_t o) const { return args.bias ? args.bias[o] : T(0); }
};

template <class T>
bool one_sample(const Linear<T>& p) {
  const int64_t outputs = p.args.outputs;
  const Split split(1, outputs, outputs * p.args.inputs, p.args.threads);
  const Scratch<T> totals(split.items, outputs), buffer(1, p.weight.dot_buffer());
  const T* x = p.weight.arranged(p.args.x, buffer[0]);
  return for_items_all(split, [&](int64_t item) {
    const int64_t begin = split.begin(item), rows = split.end(item) - begin;
    T* y = totals[item];
    if (!p.weight.dot(begin, rows, x, y)) return false;
    for (int64_t r = 0; r < rows; ++r) p.args.y[begin + r] = y[r] + p.bias(begin + r);
    return true;
  });
}

// As dot products along the inputs, the rows of W taken a few at a time.
template <class T>
bool few_samples(const Linear<T>& p) {
  constexpr int64_t block = 2 * tile_inputs, stride = block + 16, down = lanes<T> >= 8 ? 4 : 2;
  constexpr int64_t across = lanes<T> / down;
  const int64_t samples = p.args.samples, inputs = p.args.inputs, outputs = p.args.outputs;
  const int64_t size = samples * across;
  const Split split(1, (outputs + across - 1) / across, outputs * inputs, p.args.threads);
  const Scratch<T> weights(split.items, across * stride), totals(split.items, 2 * size);
  return for_items_all(split, [&](int64_t item) {
    T *w = weights[item], *total = totals[item], *part = total + size;
    for (int64_t r = split.begin(item); r < split.end(item); ++r) {
      const int64_t first = r * across;
      const int64_t count = outputs - first < across ? outputs - first : across;
      fill_zero(total, size);
      for (int64_t i = 0; i < inputs; i += block) {
        const int64_t width = inputs - i < block ? inputs - i : block;
        if (!p.weight.tile(first, i, count, width, w, stride)) return false;
        dots(samples, count, width, p.args.x + i, inputs, w, stride, part, across);
        for (int64_t n = 0; n < samples; ++n)
          for (int64_t j = 0; j < count; ++j) total[n * across + j] += part[n * across + j];
      }
      for (int64_t n = 0; n < samples; ++n)
        for (int64_t j = 0; j < count; ++j)
          p.args.y[n * outputs + first + j] = total[n * across + j] + p.bias(first + j);
    }
    return true;
  });
}

// Vectors along the samples: y^T is summed over tiles of W, whose entries are broadcast.
template <class T>
bool many_samples(const Linear<T>& p) {
  constexpr int64_t most_samples = 128;
  const int64_t inputs = p.args.inputs, outputs = p.args.outputs;
  const int64_t blocks = (p.args.samples + most_samples - 1) / most_samples;
  const int64_t block = padded<T>((p.args.samples + blocks - 1) / blocks);
  const Split split(blocks, (outputs + sum_rows - 1) / sum_rows, outputs * inputs * blocks,
                    p.args.threads);
  const int64_t rows = (split.rows / split.chunks + 1) * sum_rows;
  const Scratch<T> weights(split.items, rows_at_once * tile_stride);
  const Scratch<T> xt(split.items, tile_inputs * block), yt(split.items, rows * block);
  return for_items_all(split, [&](int64_t item) {
    const int64_t n0 = split.problem(item) * block, begin = split.begin(item) * sum_rows;
    const int64_t end = outputs < split.end(item) * sum_rows ? outputs : split.end(item) * sum_rows;
    const int64_t samples = p.args.samples - n0 < block ? p.args.samples - n0 : block;
    if (samples <= 0 || begin >= end) return true;
    const int64_t width = padded<T>(samples);
    T *w = weights[item], *x = xt[item], *y = yt[item];
    fill_zero(y, (end - begin) * width);
    for (int64_t i = 0; i < inputs; i += tile_inputs) {
      const int64_t inner = inputs - i < tile_inputs ? inputs - i : tile_inputs;
      along_panels<T>(width, [&](int64_t n, auto vectors) {
        const int64_t panel = vectors * lanes<T>,
                      inside = samples - n < panel ? samples - n : panel;
        turn(p.args.x + (n0 + n) * inputs + i, inputs, inside, inner, x + n * tile_inputs, panel,
             panel);
      });
      for (int64_t o = begin; o < end; o += rows_at_once) {
        const int64_t count = end - o < rows_at_once ? end - o : rows_at_once;
        if (!p.weight.tile(o, i, count, inner, w, tile_stride)) return false;
        along_panels<T>(width, [&](int64_t n, auto vectors) {
          product_panel<T, sum_rows, vectors>(true, {w, tile_stride, 1}, x + n * tile_inputs,
                                              vectors * lanes<T>, inner,
                                              y + (o - begin) * width + n, width, count, Full{});
        });
      }
    }
    // y^T back to y, a square at a time.
    for (int64_t n = 0; n < samples; n += lanes<T>)
      along_row<T>(end - begin, [&](int64_t o, auto len) {
        Vec<T> square[lanes<T>];
        for (int64_t j = 0; j < lanes<T>; ++j)
          square[j] = begin + o + j < end ? load(y + (o + j) * width + n, Full{}, T(0)) : Vec<T>();
        transpose<T>(square);
        const Vec<T> bias = p.args.bias ? load(p.args.bias + begin + o, len, T(0)) : Vec<T>();
        for (int64_t j = 0; j < lanes<T> && n + j < samples; ++j)
          store(p.args.y + (n0 + n + j) * outputs + begin + o, square[j] + bias, len);
      });
    return true;
  });
}

template <class T>
bool linear(const SharedLinearArgs<T>& args) {
  const Weight<T> weight(args.labels, args.outputs, args.inputs, args.values, args.groups);
  const Linear<T> p{args, weight};
  if (args.samples == 0) return weight.check(0, 0, args.outputs, args.inputs);
  if (args.samples == 1) return one_sample(p);
  // Dot products waste no lanes, but take a quarter longer.
  const bool many = args.samples >= 16 && 4 * padded<T>(args.samples) <= 5 * args.samples;
  return many ? many_samples(p) : few_samples(p);
}

}  // namespace

template <class S>
bool shared_linear(const SharedLinearArgs<S>& args) {
  const int64_t stride = args.labels.stride;
  const int64_t codebooks = stride > 0 ? args.outputs / stride + (args.outputs % stride != 0) : 1;
  const Widened<S> x(args.x, args.samples * args.inputs);
  const Widened<S> values(args.values, codebooks * args.groups);
  const Widened<S> bias(args.bias, args.bias ? args.outputs : 0);
  const Rounded<S> y(args.y, args.samples * args.outputs);
  const bool in_range = linear<Arithmetic<S>>({args.samples, args.outputs, args.inputs, args.groups,
                                               args.threads, args.labels, x.data, values.data,
                                               args.bias ? bias.data : nullptr, y.data()});
  if (in_range) y.finish();
  return in_range;
}

EQUISHARE_INSTANTIATE_CHECKED(shared_linear, SharedLinearArgs)

}  // namespace equishare::EQUISHARE_ISA
