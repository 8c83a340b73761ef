// The two passes over the logits that the penalties and the relaxation share.
//
// Forward, with A = softmax(logits), H_k = -sum_g A log A:
//
//   penalties    sums over rows of A^2                theta = A values, if values are given
//   relaxation   sums over rows of A, A x, A^2
//
// Backward, with weights w_g = column_norm_weight / norm_g and e = entropy_weight / K:
//
//   s[k,g]       = u_k v_g + q_g (x_k - v_g) + w_g A[k,g]
//   dlogit[k,g]  = A[k,g] (s[k,g] - sum_h A[k,h] s[k,h] - e (log A[k,g] + H_k))
//
// where v are the values (psi), q = (A^T u) / colsum in the relaxation and 0 otherwise.
#pragma once

#include "cuda/kernels.h"
#include "cuda/tiles.cuh"

namespace equishare::cuda {

// (B, K, 3): largest logit, log of the sum of exp(logit - largest), row entropy
template <class T>
struct RowStats {
  T most, log_size, entropy;
};

template <class T>
__device__ RowStats<T> load_stats(const T* stats, int64_t row) {
  return {stats[3 * row], stats[3 * row + 1], stats[3 * row + 2]};
}

template <class T, bool relaxation, bool with_values>
struct ForwardPass {
  static constexpr int sums = relaxation ? 3 : 1;
  static constexpr bool reads_rows = true, heavy = false;
  struct Row {
    T most, scale, entropy, x;
  };
  template <int width>
  using Column = Nothing;
  using Total = double;  // of the row entropies
  int64_t rows, groups;
  T shrink;         // shrink_of(groups)
  const T* x;       // (B, K) or null
  const T* values;  // (B, G) or null
  T* theta;         // (B, K) or null
  T* stats;         // (B, K, 3)
  double* entropy;  // (B, chunks)

  template <int width>
  __device__ Row row(int64_t b, int64_t k, const TileRow<T>& tile) const {
    auto row = RowSums<T, with_values, true>::none();
    const T* const v = values + b * groups;
    tile.template for_packs<width>([&](int64_t g, const Pack<T, width>& z) {
      row.add(z, with_values ? load_pack<width>(v + g) : z, shrink);
    });
    row = merge_team(row, tile.team);
    if (!tile.logits) return {};
    const T scale = T(1) / row.total, log_size = logarithm(row.total);
    const T row_entropy = log_size - row.moment * scale;
    const int64_t at = b * rows + k;
    if (tile.lane == 0) {
      stats[3 * at] = row.most;
      stats[3 * at + 1] = log_size;
      stats[3 * at + 2] = row_entropy;
      if (with_values) theta[at] = row.weighted * scale / shrink;
    }
    return {row.most, scale, row_entropy, relaxation ? x[at] : T(0)};
  }

  __device__ void add_rows(const Row* of_row, int64_t count, double& total) const {
    if (threadIdx.x < warp)
      for (int64_t r = threadIdx.x; r < count; r += warp) total += of_row[r].entropy;
  }
  __device__ void end_chunk(int64_t item, double total) const {
    total = merge_team(Sum<double>{total}, warp).total;
    if (threadIdx.x == 0) entropy[item] = total;
  }
  template <int width>
  __device__ Nothing column(int64_t, int64_t) const {
    return {};
  }

  template <int width, class Sums>
  __device__ void entry(int64_t, int64_t, int64_t, const Pack<T, width>& logits, const Row& row,
                        Nothing, Sums& sum) const {
    for (int j = 0; j < width; ++j) {
      const T a = exponential(logits.item[j] - row.most) * row.scale;
      sum[0][j] += a * a;
      if (relaxation) {
        sum[1][j] += a;
        sum[2][j] += a * row.x;
      }
    }
  }
};

// One Adam step takes the place of the gradient where moments are given.
template <class T>
struct Adam {
  T rate, beta1, beta2, epsilon, correction1, correction2;

  __device__ T step(T parameter, T gradient, T& first, T& second) const {
    first = first * beta1 + gradient * (1 - beta1);
    second = second * beta2 + gradient * gradient * (1 - beta2);
    return parameter - (rate / correction1) * first / (square_root(second / correction2) + epsilon);
  }
};

// What is done with the gradient, and which terms it has.
enum class Backward { penalties, joint, relaxation, relaxation_step };

template <class T, Backward kind>
struct BackwardPass {
  static constexpr bool relaxation =
      kind == Backward::relaxation || kind == Backward::relaxation_step;
  static constexpr bool with_values = kind != Backward::penalties;
  static constexpr int sums = kind == Backward::joint ? 1 : 0;  // of A u
  static constexpr bool reads_rows = true, heavy = relaxation;
  struct Row {
    RowStats<T> stats;
    T u, x, centre, entropy_weight;
  };
  template <int width>
  struct Column {
    T value[width], q[width], weight[width];
  };
  using Total = Nothing;
  int64_t batch, rows, groups;
  const T* values;          // (B, G), if with_values
  const T* q;               // (B, G), if relaxation
  const T* weight;          // (B, G)
  const T* u;               // (B, K), if with_values
  const T* x;               // (B, K), if relaxation
  const T* stats;           // (B, K, 3)
  const T* entropy_weight;  // (B)
  T* out;                   // (B, K, G): gradient, or the logits themselves
  T* moments;               // (2, B, K, G), for a step
  Adam<T> adam;

  template <int width>
  __device__ Column<width> column(int64_t b, int64_t g) const {
    const int64_t at = b * groups + g;
    const auto w = load_pack<width>(weight + at);
    const auto v = with_values ? load_pack<width>(values + at) : w;
    const auto p = relaxation ? load_pack<width>(q + at) : w;
    Column<width> column;
    for (int j = 0; j < width; ++j) {
      column.value[j] = with_values ? v.item[j] : T(0);
      column.q[j] = relaxation ? p.item[j] : T(0);
      column.weight[j] = w.item[j];
    }
    return column;
  }

  // A and dU / dA of one entry.
  template <int width>
  __device__ void slope(T logit, const Row& row, const Column<width>& c, int j, T& a, T& s,
                        T& depth) const {
    depth = logit - row.stats.most - row.stats.log_size;
    a = exponential(depth);
    s = a * c.weight[j];
    if (with_values) s += row.u * c.value[j];
    if (relaxation) s += c.q[j] * (row.x - c.value[j]);
  }

  template <int width>
  __device__ Row row(int64_t b, int64_t k, const TileRow<T>& tile) const {
    Row row{};
    Sum<T> centre{0};
    if (tile.logits) {
      const int64_t at = b * rows + k;
      row.stats = load_stats(stats, at);
      row.u = with_values ? u[at] : T(0);
      row.x = relaxation ? x[at] : T(0);
      row.entropy_weight = entropy_weight[b] / static_cast<T>(rows);
    }
    tile.template for_packs<width>([&](int64_t g, const Pack<T, width>& z) {
      const Column<width> c = column<width>(b, g);
      for (int j = 0; j < width; ++j) {
        T a, s, depth;
        slope(z.item[j], row, c, j, a, s, depth);
        centre.total += a * s;
      }
    });
    row.centre = merge_team(centre, tile.team).total;
    return row;
  }

  __device__ void add_rows(const Row*, int64_t, Total&) const {}
  __device__ void end_chunk(int64_t, Total) const {}

  template <int width, class Sums>
  __device__ void entry(int64_t b, int64_t k, int64_t g, const Pack<T, width>& logits,
                        const Row& row, const Column<width>& c, Sums& sum) const {
    const int64_t at = (b * rows + k) * groups + g;
    T* const first = moments + at;
    T* const second = first + batch * rows * groups;
    Pack<T, width> result, m, v;
    if (kind == Backward::relaxation_step) {
      m = load_pack<width>(first);
      v = load_pack<width>(second);
    }
    for (int j = 0; j < width; ++j) {
      T a, s, depth;
      slope(logits.item[j], row, c, j, a, s, depth);
      const T bend = at_least(depth, least_log<T>) + row.stats.entropy;
      const T gradient = a * (s - row.centre - row.entropy_weight * bend);
      if (sums > 0) sum[0][j] += a * row.u;
      result.item[j] = kind == Backward::relaxation_step
                           ? adam.step(logits.item[j], gradient, m.item[j], v.item[j])
                           : gradient;
    }
    if (kind == Backward::relaxation_step) {
      store_pack(first, m);
      store_pack(second, v);
    }
    store_pack(out + at, result);
  }
};

// column_norm[b] = sum over g of norms[b,g], entropy[b] = the sum of its chunks / rows; a block a
// problem.
template <class T>
__global__ void __launch_bounds__(most_threads)
    finish_problems(int64_t batch, int64_t groups, int64_t chunks, int64_t rows, const T* norms,
                    const double* of_chunk, T* column_norm, T* entropy) {
  for (int64_t b = blockIdx.x; b < batch; b += gridDim.x) {
    Sum<T> norm{0};
    Sum<double> total{0};
    for (int64_t g = threadIdx.x; g < groups; g += blockDim.x) norm.total += norms[b * groups + g];
    for (int64_t j = threadIdx.x; j < chunks; j += blockDim.x)
      total.total += of_chunk[b * chunks + j];
    norm = merge_team(norm, blockDim.x);
    total = merge_team(total, blockDim.x);
    if (threadIdx.x == 0) {
      column_norm[b] = norm.total;
      entropy[b] = static_cast<T>(total.total / static_cast<double>(rows));
    }
  }
}

template <class T>
void run_finish_problems(const char* name, const Shape& s, int64_t chunks, const T* norms,
                         const double* of_chunk, T* column_norm, T* entropy, const Queue& queue) {
  const int64_t blocks = at_most_blocks(s.batch);
  const int threads = power_of_two(s.groups, warp, most_threads);
  launch(name, &finish_problems<T>, {blocks, threads}, queue, s.batch, s.groups, chunks, s.rows,
         norms, of_chunk, column_norm, entropy);
}

}  // namespace equishare::cuda
