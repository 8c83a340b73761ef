// The relaxation. With A = softmax(logits), c = colsum A, psi = A^T x / c, theta = A psi, u = dU /
// dtheta, q = A^T u / c, n = column norms: formulas in search_passes.cuh.
//
// Forward: one pass for the row statistics and the sums over rows, a second for theta. Backward:
// one pass for q, a second for the gradient, or for the Adam step that spends it.
//
// Workspace: colsum, psi and norm, (B, G) each, then row statistics (B, K, 3). A is formed again
// from the logits wherever it is needed.
#include "cuda/rows.cuh"
#include "cuda/search_passes.cuh"

namespace equishare::cuda {
namespace {

template <class T>
struct State {
  T *colsum, *psi, *norm, *stats;

  State(const Shape& s, T* workspace)
      : colsum(workspace),
        psi(colsum + s.batch * s.groups),
        norm(psi + s.batch * s.groups),
        stats(norm + s.batch * s.groups) {}
};

// The entries of the scratch memory, which forward and backward use one after the other.
template <class T>
struct Layout {
  T *partial, *q, *weight;
  double* entropy;
  int64_t bytes;

  Layout(const Shape& s, bool forward, void* base) {
    Scratch scratch(base);
    const int64_t entries = partial_entries<T>(s, 1);
    partial = scratch.take<T>(forward ? 3 * entries : entries);
    q = scratch.take<T>(forward ? 0 : s.batch * s.groups);
    weight = scratch.take<T>(forward ? 0 : s.batch * s.groups);
    entropy = scratch.take<double>(forward && s.groups > 0 ? entries / s.groups : 0);
    bytes = scratch.used();
  }
};

// Sums over rows of A u, from known statistics.
template <class T>
struct CotangentPass {
  static constexpr int sums = 1;
  static constexpr bool reads_rows = false, heavy = false;
  struct Row {
    T most, log_size, u;
  };
  template <int width>
  using Column = Nothing;
  using Total = Nothing;
  int64_t rows;
  const T* stats;  // (B, K, 3)
  const T* u;      // (B, K)

  template <int width>
  __device__ Row row(int64_t b, int64_t k, const TileRow<T>& tile) const {
    if (!tile.logits) return {};
    const int64_t row = b * rows + k;
    return {stats[3 * row], stats[3 * row + 1], u[row]};
  }
  __device__ void add_rows(const Row*, int64_t, Total&) const {}
  __device__ void end_chunk(int64_t, Total) const {}
  template <int width>
  __device__ Nothing column(int64_t, int64_t) const {
    return {};
  }
  template <int width, class Sums>
  __device__ void entry(int64_t, int64_t, int64_t, const Pack<T, width>& logits, const Row& row,
                        Nothing, Sums& sum) const {
    for (int j = 0; j < width; ++j)
      sum[0][j] += exponential(logits.item[j] - row.most - row.log_size) * row.u;
  }
};

// The sums over chunks of (B, chunks, 3, G), and what follows from them for each group.
template <class T>
__global__ void __launch_bounds__(sum_columns* sum_rows)
    finish_groups(const T* partial, int64_t batch, int64_t chunks, int64_t groups, State<T> state,
                  T* colsum_out, T* psi_out) {
  const int64_t tiles = (groups + sum_columns - 1) / sum_columns;
  for (int64_t item = blockIdx.x; item < batch * tiles; item += gridDim.x) {
    const int64_t b = item / tiles;
    const int64_t g = item % tiles * sum_columns + threadIdx.x % sum_columns;
    const int64_t stride = 3 * groups;
    const bool inside = g < groups;
    const T* const first = partial + b * chunks * stride + g;
    const T square = sum_of_chunks(inside ? first : nullptr, chunks, stride);
    const T colsum = sum_of_chunks(inside ? first + groups : nullptr, chunks, stride);
    const T product = sum_of_chunks(inside ? first + 2 * groups : nullptr, chunks, stride);
    if (!inside || threadIdx.x >= sum_columns) continue;
    const int64_t at = b * groups + g;
    const T psi = quotient_or_zero(product, colsum);
    state.norm[at] = square_root(square);
    state.colsum[at] = colsum_out[at] = colsum;
    state.psi[at] = psi_out[at] = psi;
  }
}

// q = (sum over chunks) / colsum, weight = column_norm_weight / norm; both 0 for an unused group.
template <class T>
__global__ void __launch_bounds__(sum_columns* sum_rows)
    finish_cotangents(const T* partial, int64_t batch, int64_t chunks, int64_t groups,
                      State<T> state, const T* column_norm_weight, T* q, T* weight) {
  const int64_t tiles = (groups + sum_columns - 1) / sum_columns;
  for (int64_t item = blockIdx.x; item < batch * tiles; item += gridDim.x) {
    const int64_t b = item / tiles;
    const int64_t g = item % tiles * sum_columns + threadIdx.x % sum_columns;
    const T* const first = g < groups ? partial + b * chunks * groups + g : nullptr;
    const T total = sum_of_chunks(first, chunks, groups);
    if (!first || threadIdx.x >= sum_columns) continue;
    const int64_t at = b * groups + g;
    q[at] = quotient_or_zero(total, state.colsum[at]);
    weight[at] = quotient_or_zero(column_norm_weight[b], state.norm[at]);
  }
}

}  // namespace

template <class T>
void relax_forward(const RelaxArgs<T>& args, const Queue& queue) {
  const char* const name = "relax_forward";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const State<T> state(s, args.workspace);
  const Layout<T> scratch(s, true, queue.workspace);
  with_width<T>(in_packs(s.groups, args.logits), [&](auto width) {
    const ForwardPass<T, true, false> pass{s.rows,  s.groups, T(1),        args.x,
                                           nullptr, nullptr,  state.stats, scratch.entropy};
    run_tiles<T, decltype(width)::value>(name, s, pass, args.logits, scratch.partial, queue);
    const int64_t chunks = split_rows(s, decltype(width)::value).chunks;
    launch(name, &finish_groups<T>, sums_grid(s.batch, s.groups), queue, scratch.partial, s.batch,
           chunks, s.groups, state, args.colsum, args.psi);
    run_finish_problems(name, s, chunks, state.norm, scratch.entropy, args.column_norm,
                        args.entropy, queue);
  });
  run_gather_rows<T, true>(name, s, args.logits, args.psi, args.theta, nullptr, queue);
}

template <class T>
void relax_backward(const RelaxBackwardArgs<T>& args, const Queue& queue) {
  const char* const name = args.moments ? "relax_adam_step" : "relax_backward";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const State<T> state(s, const_cast<T*>(args.workspace));
  const Layout<T> scratch(s, false, queue.workspace);
  T* const out = args.moments ? args.logits : args.grad_logits;
  with_width<T>(in_packs(s.groups, args.logits, out, args.moments, state.psi), [&](auto width) {
    const CotangentPass<T> pass{s.rows, state.stats, args.theta_weight};
    run_tiles<T, decltype(width)::value, CotangentPass<T>>(name, s, pass, args.logits,
                                                           scratch.partial, queue);
    launch(name, &finish_cotangents<T>, sums_grid(s.batch, s.groups), queue, scratch.partial,
           s.batch, split_rows(s, decltype(width)::value).chunks, s.groups, state,
           args.column_norm_weight, scratch.q, scratch.weight);
    const auto run = [&](auto kind) {
      const BackwardPass<T, decltype(kind)::value> gradient{
          s.batch,
          s.rows,
          s.groups,
          state.psi,
          scratch.q,
          scratch.weight,
          args.theta_weight,
          args.x,
          state.stats,
          args.entropy_weight,
          out,
          args.moments,
          {args.rate, args.beta1, args.beta2, args.epsilon, args.correction1, args.correction2}};
      run_tiles<T, decltype(width)::value>(name, s, gradient, args.logits, nullptr, queue);
    };
    args.moments ? run(std::integral_constant<Backward, Backward::relaxation_step>{})
                 : run(std::integral_constant<Backward, Backward::relaxation>{});
  });
}

template <class T>
int64_t relax_workspace(const Shape& s) {
  return 3 * s.batch * (s.rows + s.groups);
}
template <class T>
int64_t relax_moments(const Shape& s) {
  return 2 * s.batch * s.rows * s.groups;
}
template <class T>
int64_t relax_forward_workspace(const Shape& shape) {
  return Layout<T>(shape, true, nullptr).bytes;
}
template <class T>
int64_t relax_backward_workspace(const Shape& shape) {
  return Layout<T>(shape, false, nullptr).bytes;
}

#define EQUISHARE_INSTANTIATE(T)                                           \
  template void relax_forward(const RelaxArgs<T>&, const Queue&);          \
  template void relax_backward(const RelaxBackwardArgs<T>&, const Queue&); \
  template int64_t relax_workspace<T>(const Shape&);                       \
  template int64_t relax_moments<T>(const Shape&);                         \
  template int64_t relax_forward_workspace<T>(const Shape&);               \
  template int64_t relax_backward_workspace<T>(const Shape&);
EQUISHARE_INSTANTIATE(float)
EQUISHARE_INSTANTIATE(double)

}  // namespace equishare::cuda
