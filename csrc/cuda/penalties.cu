// assignment_penalties: row entropy and column norm of A = softmax(logits), and their joint
// gradient; with values, theta = A values and its gradient in the same passes. Formulas:
// search_passes.cuh.
#include "cuda/search_passes.cuh"

namespace equishare::cuda {
namespace {

// norms[b,g] = root of the sum of squares over the chunks
template <class T>
__global__ void __launch_bounds__(sum_columns* sum_rows)
    finish_norms(const T* squares, int64_t batch, int64_t chunks, int64_t groups, T* norms) {
  const int64_t tiles = (groups + sum_columns - 1) / sum_columns;
  for (int64_t item = blockIdx.x; item < batch * tiles; item += gridDim.x) {
    const int64_t b = item / tiles;
    const int64_t g = item % tiles * sum_columns + threadIdx.x % sum_columns;
    const T* const first = g < groups ? squares + b * chunks * groups + g : nullptr;
    const T total = sum_of_chunks(first, chunks, groups);
    if (first && threadIdx.x < sum_columns) norms[b * groups + g] = square_root(total);
  }
}

// weight[b,g] = column_norm_weight[b] / norms[b,g], 0 for a group that no row uses
template <class T>
__global__ void __launch_bounds__(most_threads)
    weigh_norms(int64_t batch, int64_t groups, const T* norms, const T* column_norm_weight,
                T* weight) {
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < batch * groups; i += stride)
    weight[i] = quotient_or_zero(column_norm_weight[i / groups], norms[i]);
}

template <class T>
struct Layout {
  T* partial;
  double* entropy;
  int64_t bytes;

  Layout(const Shape& s, void* base) {
    Scratch scratch(base);
    const int64_t entries = partial_entries<T>(s, 1);
    partial = scratch.take<T>(entries);
    entropy = scratch.take<double>(s.groups > 0 ? entries / s.groups : 0);
    bytes = scratch.used();
  }
};

template <class T>
struct BackwardLayout {
  T *weight, *partial;
  int64_t bytes;

  BackwardLayout(const Shape& s, void* base) {
    Scratch scratch(base);
    weight = scratch.take<T>(s.batch * s.groups);
    partial = scratch.take<T>(partial_entries<T>(s, 1));
    bytes = scratch.used();
  }
};

}  // namespace

template <class T>
void penalties(const PenaltiesArgs<T>& args, const Queue& queue) {
  const char* const name = "penalties";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const Layout<T> scratch(s, queue.workspace);
  const auto run = [&](auto width, auto with_values) {
    const ForwardPass<T, false, decltype(with_values)::value> pass{
        s.rows,     s.groups,   shrink_of<T>(s.groups), nullptr, args.values,
        args.theta, args.stats, scratch.entropy};
    run_tiles<T, decltype(width)::value>(name, s, pass, args.logits, scratch.partial, queue);
    const int64_t chunks = split_rows(s, decltype(width)::value).chunks;
    launch(name, &finish_norms<T>, sums_grid(s.batch, s.groups), queue, scratch.partial, s.batch,
           chunks, s.groups, args.norms);
    run_finish_problems(name, s, chunks, args.norms, scratch.entropy, args.column_norm,
                        args.entropy, queue);
  };
  with_width<T>(in_packs(s.groups, args.logits, args.values), [&](auto width) {
    args.values ? run(width, std::true_type{}) : run(width, std::false_type{});
  });
}

template <class T>
void penalties_backward(const PenaltiesBackwardArgs<T>& args, const Queue& queue) {
  const char* const name = "penalties_backward";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const BackwardLayout<T> scratch(s, queue.workspace);
  const int64_t blocks = divide_up(s.batch * s.groups, most_threads);
  launch(name, &weigh_norms<T>, {at_most_blocks(blocks), most_threads}, queue, s.batch, s.groups,
         args.norms, args.column_norm_weight, scratch.weight);
  with_width<T>(in_packs(s.groups, args.logits, args.values, args.grad_logits), [&](auto width) {
    const auto run = [&](auto kind) {
      const BackwardPass<T, decltype(kind)::value> pass{
          s.batch,          s.rows,         s.groups, args.values, nullptr,
          scratch.weight,   args.cotangent, nullptr,  args.stats,  args.entropy_weight,
          args.grad_logits, nullptr,        {}};
      run_tiles<T, decltype(width)::value>(name, s, pass, args.logits, scratch.partial, queue);
    };
    if (!args.values) return run(std::integral_constant<Backward, Backward::penalties>{});
    run(std::integral_constant<Backward, Backward::joint>{});
    add_partials(name, scratch.partial, s.batch, split_rows(s, decltype(width)::value).chunks,
                 s.groups, args.grad_values, queue);
  });
}

template <class T>
int64_t penalties_workspace(const Shape& shape) {
  return Layout<T>(shape, nullptr).bytes;
}
template <class T>
int64_t penalties_backward_workspace(const Shape& shape) {
  return BackwardLayout<T>(shape, nullptr).bytes;
}

#define EQUISHARE_INSTANTIATE(T)                                                   \
  template void penalties(const PenaltiesArgs<T>&, const Queue&);                  \
  template void penalties_backward(const PenaltiesBackwardArgs<T>&, const Queue&); \
  template int64_t penalties_workspace<T>(const Shape&);                           \
  template int64_t penalties_backward_workspace<T>(const Shape&);
EQUISHARE_INSTANTIATE(float)
EQUISHARE_INSTANTIATE(double)

}  // namespace equishare::cuda
