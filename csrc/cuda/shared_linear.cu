// y = x W^T with W[o,i] = values[label[o,i]], W never stored. Layouts: args.h.
//
// Few samples: every label is read once for four samples, with the values in shared memory. Many
// samples: tiled products that form W from the labels as they load.
//
//   grad_x[n,i]     = sum over o of u[n,o] W[o,i]
//   grad_values[g]  = sum over label[o,i] = g of D[o,i],  D[o,i] = sum over n of u[n,o] x[n,i]
//
// For many samples, D is formed a panel of outputs at a time, small enough to stay in the cache.
#include "cuda/kernels.h"
#include "cuda/product.cuh"
#include "cuda/rows.cuh"
#include "cuda/segments.cuh"

namespace equishare::cuda {
namespace {

constexpr int64_t few_samples = 8;
constexpr int samples_at_once = 4, labels_at_once = 4;
constexpr int64_t most_values = 4096;  // in shared memory; more are read from the cache

template <class S>
int64_t table_bytes(int64_t groups) {
  return groups <= most_values ? groups * int64_t(sizeof(Arithmetic<S>)) : 0;
}

// The values, from shared memory or, where they are too many, from where they are.
template <class S>
struct Table {
  using A = Arithmetic<S>;
  const S* values;
  A* shared;  // or null

  // With all threads of the block.
  __device__ static Table fill(const S* values, int64_t groups) {
    if (groups > most_values) return {values, nullptr};
    A* const shared = reinterpret_cast<A*>(shared_memory());
    for (int64_t g = threadIdx.x; g < groups; g += blockDim.x) shared[g] = widen(values[g]);
    __syncthreads();
    return {values, shared};
  }
  __device__ A operator[](int64_t label) const {
    return shared ? shared[label] : widen(values[label]);
  }
};

// A warp an output, four samples at a time.
template <class S, class L, int width>
__global__ void __launch_bounds__(most_threads, resident_blocks<Arithmetic<S>>(0))
    few_forward(SharedLinearArgs<S> args, const L* labels) {
  using A = Arithmetic<S>;
  const int64_t inputs = args.inputs;
  const auto table = Table<S>::fill(args.values, args.groups);
  for_rows(args.outputs, warp, [&](int64_t o, int lane) {
    for (int64_t n0 = 0; n0 < args.samples; n0 += samples_at_once) {
      Sum<A> sum[samples_at_once] = {};
      if (o < args.outputs)
#pragma unroll 2
        for (int64_t i = int64_t(lane) * width; i < inputs; i += warp * width) {
          const auto label = load_pack<width>(labels + o * inputs + i);
          A weight[width];
          for (int j = 0; j < width; ++j) weight[j] = table[static_cast<int64_t>(label.item[j])];
#pragma unroll
          for (int n = 0; n < samples_at_once; ++n) {
            if (n0 + n >= args.samples) break;
            const auto x = load_pack<width>(args.x + (n0 + n) * inputs + i);
            for (int j = 0; j < width; ++j) sum[n].total += widen(x.item[j]) * weight[j];
          }
        }
#pragma unroll
      for (int n = 0; n < samples_at_once; ++n) {
        if (n0 + n >= args.samples) break;
        const A total = merge_team(sum[n], warp).total;
        if (o < args.outputs && lane == 0)
          args.y[(n0 + n) * args.outputs + o] =
              narrow<S>(total + (args.bias ? widen(args.bias[o]) : A(0)));
      }
    }
  });
}

// How the outputs are cut for grad_x.
struct OutputSplit {
  int64_t tiles, chunks, chunk_outputs;  // tiles of inputs, chunks of outputs
};

constexpr int input_threads = 128;

inline OutputSplit split_outputs(int64_t outputs, int64_t inputs, int width) {
  OutputSplit s{divide_up(inputs, int64_t(input_threads) * width), 1, outputs};
  if (s.tiles == 0 || outputs == 0) return s;
  s.chunk_outputs = divide_up(outputs, divide_up(wanted_blocks, s.tiles));
  if (s.chunk_outputs < 16) s.chunk_outputs = 16;
  s.chunks = divide_up(outputs, s.chunk_outputs);
  return s;
}

// partial[chunk, n, i] = sum over the chunk's o of u[n,o] W[o,i]; a thread keeps `width` columns i.
template <class S, class L, int width>
__global__ void __launch_bounds__(input_threads, 4)
    few_grad_x(SharedLinearBackwardArgs<S> args, OutputSplit split, const L* labels,
               Arithmetic<S>* partial) {
  using A = Arithmetic<S>;
  const int64_t inputs = args.inputs;
  const auto table = Table<S>::fill(args.values, args.groups);
  for (int64_t item = blockIdx.x; item < split.tiles * split.chunks; item += gridDim.x) {
    const int64_t chunk = item / split.tiles, begin = chunk * split.chunk_outputs;
    const int64_t after = begin + split.chunk_outputs;
    const int64_t end = after < args.outputs ? after : args.outputs;
    const int64_t i = (item % split.tiles * input_threads + threadIdx.x) * width;
    if (i >= inputs) continue;
    for (int64_t n0 = 0; n0 < args.samples; n0 += samples_at_once) {
      A sum[samples_at_once][width] = {};
#pragma unroll 4
      for (int64_t o = begin; o < end; ++o) {
        const auto label = load_pack<width>(labels + o * inputs + i);
        A weight[width];
        for (int j = 0; j < width; ++j) weight[j] = table[static_cast<int64_t>(label.item[j])];
#pragma unroll
        for (int n = 0; n < samples_at_once; ++n) {
          if (n0 + n >= args.samples) break;
          const A u = widen(args.cotangent[(n0 + n) * args.outputs + o]);
          for (int j = 0; j < width; ++j) sum[n][j] += u * weight[j];
        }
      }
#pragma unroll
      for (int n = 0; n < samples_at_once; ++n) {
        if (n0 + n >= args.samples) break;
        for (int j = 0; j < width; ++j)
          partial[(chunk * args.samples + n0 + n) * inputs + i + j] = sum[n][j];
      }
    }
  }
}

template <class S>
struct ForwardProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = true, right_along_depth = true;
  SharedLinearArgs<S> args;

  __device__ A left(int64_t, int64_t n, int64_t i) const {
    return widen(args.x[n * args.inputs + i]);
  }
  __device__ A right(int64_t, int64_t i, int64_t o) const {
    return widen(args.values[label_at(args.labels, o * args.inputs + i)]);
  }
  __device__ void put(int64_t, int64_t, int64_t n, int64_t o, A sum) const {
    args.y[n * args.outputs + o] = narrow<S>(sum + (args.bias ? widen(args.bias[o]) : A(0)));
  }
};

template <class S>
struct GradXProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = true, right_along_depth = false;
  SharedLinearBackwardArgs<S> args;
  A* partial;  // (splits, N, I)

  __device__ A left(int64_t, int64_t n, int64_t o) const {
    return widen(args.cotangent[n * args.outputs + o]);
  }
  __device__ A right(int64_t, int64_t o, int64_t i) const {
    return widen(args.values[label_at(args.labels, o * args.inputs + i)]);
  }
  __device__ void put(int64_t, int64_t split, int64_t n, int64_t i, A sum) const {
    partial[(split * args.samples + n) * args.inputs + i] = sum;
  }
};

// The panel of D that begins at output `first`.
template <class S>
struct OuterProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = false, right_along_depth = false;
  SharedLinearBackwardArgs<S> args;
  int64_t first;
  A* outer;  // (outputs of the panel, I)

  __device__ A left(int64_t, int64_t o, int64_t n) const {
    return widen(args.cotangent[n * args.outputs + first + o]);
  }
  __device__ A right(int64_t, int64_t n, int64_t i) const {
    return widen(args.x[n * args.inputs + i]);
  }
  __device__ void put(int64_t, int64_t, int64_t o, int64_t i, A sum) const {
    outer[o * args.inputs + i] = sum;
  }
};

// Entries of D, stored or, for few samples, formed as they are read.
template <class S>
struct Outer {
  SharedLinearBackwardArgs<S> args;
  const Arithmetic<S>* stored;  // or null

  __device__ double value(int64_t, int64_t k, int64_t) const {
    if (stored) return stored[k];
    const bool small = args.outputs * args.inputs < (int64_t(1) << 32);
    const int64_t o = small ? uint32_t(k) / uint32_t(args.inputs) : k / args.inputs;
    const int64_t i = k - o * args.inputs;
    Arithmetic<S> sum = 0;
    for (int64_t n = 0; n < args.samples; ++n)
      sum += widen(args.cotangent[n * args.outputs + o]) * widen(args.x[n * args.inputs + i]);
    return sum;
  }
};

inline Segments segments_of(int64_t outputs, int64_t inputs, int64_t groups, int64_t panels) {
  return split_segments({1, outputs * inputs, groups, 1, 0}, 0, divide_up(wanted_tables, panels));
}

template <class S>
struct BackwardLayout {
  using A = Arithmetic<S>;
  bool few;
  ProductShape product;
  Segments segments;  // of all outputs, or of a panel
  int64_t panel;      // outputs of a panel
  A *partial, *outer;
  double* sums;
  int64_t bytes;

  BackwardLayout(int64_t samples, int64_t outputs, int64_t inputs, int64_t groups, void* base)
      : few(samples <= few_samples),
        product(split_product(1, samples, inputs, outputs)),
        panel(few || inputs == 0 ? outputs : divide_up(panel_entries, inputs)) {
    if (panel > outputs) panel = outputs;
    const int64_t panels = panel > 0 ? divide_up(outputs, panel) : 1;
    segments = segments_of(panel, inputs, groups, panels);
    Scratch scratch(base);
    const int64_t narrow_chunks = split_outputs(outputs, inputs, 1).chunks;
    const int64_t wide_chunks = split_outputs(outputs, inputs, labels_at_once).chunks;
    const int64_t most_chunks = narrow_chunks > wide_chunks ? narrow_chunks : wide_chunks;
    partial = scratch.take<A>((few ? most_chunks : product.splits) * samples * inputs);
    outer = scratch.take<A>(few ? 0 : panel * inputs);
    sums = scratch.take<double>(panels * segments.partial_entries());
    bytes = scratch.used();
  }
};

// Labels in packs of four, and rows of x with them.
template <class S, class L>
bool labels_in_packs(int64_t inputs, const L* labels, const S* x) {
  return inputs % labels_at_once == 0 && in_packs(0, labels, x);
}

}  // namespace

template <class S>
void shared_linear(const SharedLinearArgs<S>& args, const Queue& queue) {
  const char* const name = "shared_linear";
  const DeviceGuard guard(queue.device);
  if (args.samples > few_samples)
    return run_product<Arithmetic<S>>(name,
                                      {1, args.samples, args.outputs, args.inputs, 1, args.inputs},
                                      ForwardProduct<S>{args}, queue);
  if (args.samples == 0) return;
  Grid grid = rows_grid(args.outputs, warp);
  grid.shared_bytes = table_bytes<S>(args.groups);
  with_label_type(args.labels.type, [&](auto of_type) {
    using L = decltype(of_type);
    const L* const labels = static_cast<const L*>(args.labels.data);
    labels_in_packs(args.inputs, labels, args.x)
        ? launch(name, &few_forward<S, L, labels_at_once>, grid, queue, args, labels)
        : launch(name, &few_forward<S, L, 1>, grid, queue, args, labels);
  });
}

template <class S>
void shared_linear_backward(const SharedLinearBackwardArgs<S>& args, const Queue& queue) {
  using A = Arithmetic<S>;
  const char* const name = "shared_linear_backward";
  const DeviceGuard guard(queue.device);
  const BackwardLayout<S> scratch(args.samples, args.outputs, args.inputs, args.groups,
                                  queue.workspace);
  const int64_t size = args.samples * args.inputs;
  if (args.grad_x && scratch.few) {
    with_label_type(args.labels.type, [&](auto of_type) {
      using L = decltype(of_type);
      const L* const labels = static_cast<const L*>(args.labels.data);
      const auto run = [&](auto kernel, int width) {
        const OutputSplit split = split_outputs(args.outputs, args.inputs, width);
        const int64_t blocks = split.tiles * split.chunks;
        const Grid grid{at_most_blocks(blocks), input_threads, table_bytes<S>(args.groups)};
        if (size > 0) launch(name, kernel, grid, queue, args, split, labels, scratch.partial);
        add_partials(name, scratch.partial, 1, split.chunks, size, args.grad_x, queue);
      };
      labels_in_packs(args.inputs, labels, args.x) ? run(&few_grad_x<S, L, labels_at_once>, 4)
                                                   : run(&few_grad_x<S, L, 1>, 1);
    });
  } else if (args.grad_x) {
    run_product<A>(name, scratch.product, GradXProduct<S>{args, scratch.partial}, queue);
    add_partials(name, scratch.partial, 1, scratch.product.splits, size, args.grad_x, queue);
  }
  if (!args.grad_values) return;
  if (scratch.few)
    return run_segments(name, scratch.segments, Outer<S>{args, nullptr}, args.labels, scratch.sums,
                        args.grad_values, queue);
  int64_t chunks = 0, first = 0;
  do {
    const int64_t left = args.outputs - first,
                  outputs = left < scratch.panel ? left : scratch.panel;
    run_product<A>(name, {1, outputs, args.inputs, args.samples, 1, args.samples},
                   OuterProduct<S>{args, first, scratch.outer}, queue);
    Segments of_panel = scratch.segments;
    of_panel.rows = outputs * args.inputs;
    sum_chunks(name, of_panel, Outer<S>{args, scratch.outer},
               labels_from(args.labels, first * args.inputs), scratch.sums + chunks * args.groups,
               queue);
    chunks += of_panel.chunks;
    first += outputs;
  } while (first < args.outputs);
  add_partials(name, scratch.sums, 1, chunks, args.groups, args.grad_values, queue);
}

template <class S>
int64_t shared_linear_workspace(int64_t, int64_t, int64_t, int64_t) {
  return 0;
}
template <class S>
int64_t shared_linear_backward_workspace(int64_t samples, int64_t outputs, int64_t inputs,
                                         int64_t groups) {
  return BackwardLayout<S>(samples, outputs, inputs, groups, nullptr).bytes;
}

#define EQUISHARE_INSTANTIATE(S)                                                          \
  template void shared_linear(const SharedLinearArgs<S>&, const Queue&);                  \
  template void shared_linear_backward(const SharedLinearBackwardArgs<S>&, const Queue&); \
  template int64_t shared_linear_workspace<S>(int64_t, int64_t, int64_t, int64_t);        \
  template int64_t shared_linear_backward_workspace<S>(int64_t, int64_t, int64_t, int64_t);
EQUISHARE_INSTANTIATE(float)
EQUISHARE_INSTANTIATE(double)
EQUISHARE_INSTANTIATE(bfloat16)
EQUISHARE_INSTANTIATE(float16)

}  // namespace equishare::cuda
