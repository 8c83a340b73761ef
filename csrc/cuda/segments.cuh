// Segment sums without atomics: out[b, g, c] = sum of value(b, k, c) over the k with label[b, k] =
// g, formed in double.
//
// A block takes a chunk of entries, a range of groups and a tile of columns, and keeps tables of
// sums in shared memory:
//
//   few groups     a table for each thread, so that no two threads meet
//   many groups    a table for the one warp of the block; lanes with the same label add up their
//                  values in the order of the lanes, and one of them adds the sum to the table
//
// With more groups than a table holds, the labels are read once for every range of groups. The
// chunks are added afterwards in their order.
#pragma once

#include "cuda/labels.cuh"
#include "cuda/softmax.cuh"
#include "cuda/split.cuh"

namespace equishare::cuda {

constexpr int private_threads = 64, most_private = 96, most_shared_table = 4096;
constexpr int64_t wanted_tables = 2048, least_entries = 16;

struct Segments {
  int64_t batch, rows, groups, columns, stride;  // stride: Labels::stride
  bool shared;                                   // one table a warp
  int across;                                    // threads side by side along the columns
  int64_t column_tiles, range, ranges, chunks, chunk_rows;

  int threads() const { return shared ? warp : private_threads; }
  __host__ __device__ int64_t items() const { return batch * chunks * ranges * column_tiles; }
  int64_t partial_entries() const { return batch * chunks * groups * columns; }
};

inline Segments split_segments(const Shape& s, int64_t stride, int64_t wanted = wanted_tables) {
  Segments t{s.batch, s.rows, s.groups, s.columns, stride, false, 1, 1, 1, 1, 1, s.rows};
  if (s.batch * s.groups * s.columns == 0) return t;
  t.shared = s.columns == 1 && s.groups > most_private;
  t.across = power_of_two(s.columns, 1, private_threads);
  t.column_tiles = divide_up(s.columns, t.across);
  const int64_t most = t.shared ? most_shared_table : most_private;
  t.ranges = divide_up(s.groups, most);
  t.range = divide_up(s.groups, t.ranges);
  const int64_t chunks = divide_up(wanted, s.batch * t.ranges * t.column_tiles);
  const int64_t at_once = t.threads() / t.across;
  // Partial sums should be far fewer than entries.
  const int64_t least =
      least_entries * at_once > 4 * s.groups ? least_entries * at_once : 4 * s.groups;
  t.chunk_rows = divide_up(s.rows, chunks);
  if (t.chunk_rows < least) t.chunk_rows = least;
  t.chunks = s.rows > 0 ? divide_up(s.rows, t.chunk_rows) : 1;
  return t;
}

// What a block works on.
struct Segment {
  int64_t b, begin, end, first_group, first_column, partial;
  int64_t groups;
};

__device__ inline Segment segment_at(const Segments& t, int64_t item) {
  Segment s;
  s.first_column = item % t.column_tiles * t.across;
  const int64_t range = item / t.column_tiles % t.ranges;
  const int64_t of_problem = item / t.column_tiles / t.ranges;
  s.b = of_problem / t.chunks;
  s.begin = of_problem % t.chunks * t.chunk_rows;
  s.end = s.begin + t.chunk_rows < t.rows ? s.begin + t.chunk_rows : t.rows;
  s.first_group = range * t.range;
  const int64_t left = t.groups - s.first_group;
  s.groups = left < t.range ? left : t.range;
  s.partial = (of_problem * t.groups + s.first_group) * t.columns + s.first_column;
  return s;
}

template <class L, class Source>
__global__ void __launch_bounds__(private_threads, 8)
    sum_in_private_tables(Source source, Segments t, const L* all_labels, double* partial) {
  constexpr int ahead = 4;  // entries loaded before the first is added
  double* const table = reinterpret_cast<double*>(shared_memory());
  const int x = threadIdx.x % t.across, y = threadIdx.x / t.across;
  const int down = private_threads / t.across;
  for (int64_t item = blockIdx.x; item < t.items(); item += gridDim.x) {
    const Segment s = segment_at(t, item);
    const L* const labels = all_labels + s.b * t.stride;
    double* const mine = table + threadIdx.x;
    for (int64_t g = 0; g < s.groups; ++g) mine[g * private_threads] = 0;
    const int64_t c = s.first_column + x;
    if (c < t.columns)
      for (int64_t k0 = s.begin + y; k0 < s.end; k0 += ahead * down) {
        double value[ahead];
        int64_t group[ahead];
#pragma unroll
        for (int j = 0; j < ahead; ++j) {
          const int64_t k = k0 + int64_t(j) * down;
          group[j] = k < s.end ? static_cast<int64_t>(labels[k]) - s.first_group : -1;
          if (group[j] >= s.groups) group[j] = -1;
          value[j] = group[j] >= 0 ? source.value(s.b, k, c) : 0;
        }
#pragma unroll
        for (int j = 0; j < ahead; ++j)
          if (group[j] >= 0) mine[group[j] * private_threads] += value[j];
      }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < s.groups * t.across; i += private_threads) {
      const int64_t g = i / t.across, column = i % t.across;
      double total = 0;
      for (int r = 0; r < down; ++r) total += table[g * private_threads + r * t.across + column];
      if (s.first_column + column < t.columns) partial[s.partial + g * t.columns + column] = total;
    }
    __syncthreads();
  }
}

// One column.
template <class L, class Source>
__global__ void __launch_bounds__(warp)
    sum_in_shared_tables(Source source, Segments t, const L* all_labels, double* partial) {
  double* const table = reinterpret_cast<double*>(shared_memory());
  const int lane = threadIdx.x;
  for (int64_t item = blockIdx.x; item < t.items(); item += gridDim.x) {
    const Segment s = segment_at(t, item);
    const L* const labels = all_labels + s.b * t.stride;
    for (int64_t g = lane; g < s.groups; g += warp) table[g] = 0;
    __syncwarp();
    for (int64_t k0 = s.begin; k0 < s.end; k0 += warp) {
      const int64_t k = k0 + lane;
      int64_t group = k < s.end ? static_cast<int64_t>(labels[k]) - s.first_group : -1;
      if (group >= s.groups || group < 0) group = -1;
      const double value = group >= 0 ? source.value(s.b, k, 0) : 0;
      const unsigned peers = __match_any_sync(all_lanes, static_cast<int>(group));
      unsigned left = group >= 0 ? peers : 0;
      double total = 0;
      while (__any_sync(all_lanes, left != 0)) {
        const double other = __shfl_sync(all_lanes, value, left ? __ffs(left) - 1 : lane);
        if (left) total += other;
        left &= left - 1;
      }
      if (group >= 0 && lane == __ffs(peers) - 1) table[group] += total;
      __syncwarp();  // another lane may speak for this group next
    }
    // The lane that reads an entry here is the one that clears it for the next item.
    for (int64_t g = lane; g < s.groups; g += warp) partial[s.partial + g] = table[g];
  }
}

// The first stage: partial sums of the Source, t.partial_entries() of them.
template <class Source>
void sum_chunks(const char* name, const Segments& t, const Source& source, const Labels& labels,
                double* partial, const Queue& queue) {
  if (t.partial_entries() == 0) return;
  const int64_t blocks = at_most_blocks(t.items());
  const int64_t bytes = t.range * int64_t(sizeof(double)) * (t.shared ? 1 : private_threads);
  const Grid grid{blocks, t.threads(), bytes};
  with_label_type(labels.type, [&](auto of_type) {
    using L = decltype(of_type);
    const L* const data = static_cast<const L*>(labels.data);
    t.shared
        ? launch(name, &sum_in_shared_tables<L, Source>, grid, queue, source, t, data, partial)
        : launch(name, &sum_in_private_tables<L, Source>, grid, queue, source, t, data, partial);
  });
}

// Sums of the Source into out (B, G, C).
template <class S, class Source>
void run_segments(const char* name, const Segments& t, const Source& source, const Labels& labels,
                  double* partial, S* out, const Queue& queue) {
  sum_chunks(name, t, source, labels, partial, queue);
  add_partials(name, partial, t.batch, t.chunks, t.groups * t.columns, out, queue);
}

}  // namespace equishare::cuda
