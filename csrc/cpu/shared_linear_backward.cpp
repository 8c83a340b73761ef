// Gradients of shared_linear. W and its gradient are never stored: tiles of the one are made, tiles
// of the other summed by label, while they are in cache. Layouts: args.h.
#include "cpu/kernels.h"
#include "cpu/segment_sum.h"
#include "cpu/weight.h"
#include "cpu/widen.h"

namespace equishare::EQUISHARE_ISA {
namespace {

constexpr int64_t tile_outputs = 128 / rows_at_once * rows_at_once, most_samples = 512;

template <class T>
struct Backward {
  const SharedLinearBackwardArgs<T>& args;
  const Weight<T>& weight;
};

// Scratch of one item, each padded to whole vectors and zero where nothing is written.
template <class T>
struct Tiles {
  T* w;       // (tile_outputs, tile_stride)
  T* u;       // (samples, tile_outputs)
  T* x;       // panels of (samples, their width)
  T* grad_x;  // (samples, tile_inputs)
  T* outer;   // (rows_at_once, tile_inputs)
};

template <class T>
EQUISHARE_INLINE void copy(const T* in, int64_t in_stride, int64_t rows, int64_t columns, T* out,
                           int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r)
    __builtin_memcpy(out + r * out_stride, in + r * in_stride, sizeof(T) * columns);
}

// The inputs i..i+width-1 and outputs begin..end-1 for the samples n..n+samples-1: their part of
// tile.grad_x, and of the sums.
template <class T>
bool add_tile(const Backward<T>& p, const Tiles<T>& tile, TileSums<T>& sums, int64_t n0,
              int64_t samples, int64_t i, int64_t width, int64_t begin, int64_t end) {
  const int64_t inputs = p.args.inputs, whole = padded<T>(width);
  if (p.args.grad_values)
    along_panels<T>(whole, [&](int64_t j, auto vectors) {
      const int64_t panel = vectors * lanes<T>, inside = width - j < panel ? width - j : panel;
      copy(p.args.x + n0 * inputs + i + j, inputs, samples, inside, tile.x + j * samples, panel);
    });
  for (int64_t o = begin; o < end; o += tile_outputs) {
    const int64_t count = end - o < tile_outputs ? end - o : tile_outputs;
    copy(p.args.cotangent + n0 * p.args.outputs + o, p.args.outputs, samples, count, tile.u,
         tile_outputs);
    if (p.args.grad_x) {
      if (!p.weight.tile(o, i, count, width, tile.w, tile_stride)) return false;
      along_panels<T>(whole, [&](int64_t j, auto vectors) {
        product_panel<T, sum_rows, vectors>(true, {tile.u, tile_outputs, 1}, tile.w + j,
                                            tile_stride, count, tile.grad_x + j, tile_inputs,
                                            samples, Full{});
      });
    } else if (!p.weight.check(o, i, count, width)) {
      return false;
    }
    if (!p.args.grad_values) continue;
    for (int64_t r = 0; r < count; r += rows_at_once) {
      const int64_t rows = count - r < rows_at_once ? count - r : rows_at_once;
      along_panels<T>(whole, [&](int64_t j, auto vectors) {
        product_panel<T, sum_rows, vectors>(false, {tile.u + r, 1, tile_outputs},
                                            tile.x + j * samples, vectors * lanes<T>, samples,
                                            tile.outer + j, tile_inputs, rows, Full{});
      });
      p.weight.add_segments(o + r, i, rows, width, tile.outer, tile_inputs, sums);
    }
  }
  return true;
}

// Threads take ranges of inputs, whose grad_x is theirs alone; outputs are cut only if there are
// fewer panels of inputs than threads, and then their parts of grad_x are added in order.
template <class T>
bool backward(const Backward<T>& p) {
  const auto& args = p.args;
  const int64_t inputs = args.inputs, outputs = args.outputs, groups = args.groups;
  constexpr int64_t panel = sum_vectors * lanes<T>;
  const int64_t panels = (inputs + panel - 1) / panel, total = args.samples;
  const Split work(1, inputs * outputs, inputs * outputs * (1 + total / 8), args.threads);
  const int64_t across = panels < work.threads ? panels : work.threads;
  const int64_t down = across > 0 && work.threads / across < outputs ? work.threads / across : 1;
  Split split(down, panels, 0, 1);
  split.chunks = across > 0 ? across : 1;
  split.items = split.chunks * down;
  split.threads = static_cast<int>(split.items);
  const int64_t block = total < most_samples ? total : most_samples;
  const bool copies = has_copies(inputs * outputs / split.items, groups);
  const Scratch<T> w(split.items, tile_outputs * tile_stride), u(split.items, block * tile_outputs);
  const Scratch<T> x(split.items, block * tile_inputs),
      outer(split.items, rows_at_once * tile_inputs);
  const Scratch<T> grad_x(split.items, block * tile_inputs);
  const bool joined = down > 1 && args.grad_x != nullptr;
  const Scratch<T> parts(joined ? down : 0, total * inputs);
  const Scratch<double> partial(split.items,
                                args.grad_values ? TileSums<T>::size(groups, copies) : 0);
  const bool in_range = for_items_all(split, [&](int64_t item) {
    const Tiles<T> tile{w[item], u[item], x[item], grad_x[item], outer[item]};
    fill_zero(tile.w, tile_outputs * tile_stride);
    fill_zero(tile.x, block * tile_inputs);
    TileSums<T> sums(partial[item], args.grad_values ? groups : 0, copies);
    const int64_t strip = split.problem(item);
    const int64_t begin = outputs * strip / down, end = outputs * (strip + 1) / down;
    const int64_t first = split.begin(item) * panel;
    const int64_t last = split.end(item) * panel < inputs ? split.end(item) * panel : inputs;
    for (int64_t i = first; i < last; i += tile_inputs)
      for (int64_t n = 0; n < total; n += block) {
        const int64_t width = last - i < tile_inputs ? last - i : tile_inputs;
        const int64_t samples = total - n < block ? total - n : block;
        fill_zero(tile.grad_x, samples * tile_inputs);
        if (!add_tile(p, tile, sums, n, samples, i, width, begin, end)) return false;
        if (args.grad_x == nullptr) continue;
        for (int64_t k = 0; k < samples; ++k) {
          const T* row = tile.grad_x + k * tile_inputs;
          const int64_t at = (n + k) * inputs + i;
          along_row<T>(width, [&](int64_t j, auto len) {
            const Vec<T> v = load(row + j, len, T(0));
            if (joined)
              store(parts[strip] + at + j, v, len);
            else
              store(args.grad_x + at + j, v, len);
          });
        }
      }
    sums.finish();
    return true;
  });
  if (!in_range) return false;
  if (joined)
    along_row<T>(total * inputs, [&](int64_t j, auto len) {
      Vec<T> v = load(parts[0] + j, len, T(0));
      for (int64_t strip = 1; strip < down; ++strip) v += load(parts[strip] + j, len, T(0));
      store(args.grad_x + j, v, len);
    });
  if (args.grad_values)
    for (int64_t g = 0; g < groups; ++g) {
      double total_of_items = 0;
      for (int64_t item = 0; item < split.items; ++item) total_of_items += partial[item][g];
      args.grad_values[g] = static_cast<T>(total_of_items);
    }
  return true;
}

}  // namespace

template <class S>
bool shared_linear_backward(const SharedLinearBackwardArgs<S>& args) {
  const Widened<S> x(args.x, args.samples * args.inputs), values(args.values, args.groups);
  const Widened<S> u(args.cotangent, args.samples * args.outputs);
  const Rounded<S> grad_x(args.grad_x, args.samples * args.inputs);
  const Rounded<S> grad_values(args.grad_values, args.groups);
  const Weight<Arithmetic<S>> weight(args.labels, args.outputs, args.inputs, values.data,
                                     args.groups);
  const SharedLinearBackwardArgs<Arithmetic<S>> wide{
      args.samples, args.outputs, args.inputs, args.groups,   args.threads,      args.labels,
      x.data,       values.data,  u.data,      grad_x.data(), grad_values.data()};
  if (!backward<Arithmetic<S>>({wide, weight})) return false;
  grad_x.finish();
  grad_values.finish();
  return true;
}

EQUISHARE_INSTANTIATE_CHECKED(shared_linear_backward, SharedLinearBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
