// A tiled product, out(m, n) = sum over i of left(m, i) right(i, n), whose factors are formed as
// they are loaded: A from logits, W from labels. Neither is ever stored.
//
// A block of 256 threads forms a tile of 64 x 64, each thread 4 x 4, through slices of depth 16 in
// shared memory. Where the depth is long and the tiles are few, the depth is split, and the parts
// are added afterwards in their order.
//
// A Problem has
//   left_along_depth, right_along_depth    whether neighbours along i are neighbours in memory
//   left(b, m, i), right(b, i, n)          the factors
//   put(b, split, m, n, sum)               takes the result
#pragma once

#include "cuda/split.cuh"

namespace equishare::cuda {

constexpr int tile_side = 64, tile_depth = 16, each = 4;
constexpr int64_t least_depth = 128;  // of a split

struct ProductShape {
  int64_t batch, m, n, depth;
  int64_t splits = 1, split_depth = 0;

  int64_t tiles() const { return divide_up(m, tile_side) * divide_up(n, tile_side); }
  bool empty() const { return batch * m * n == 0; }
};

inline ProductShape split_product(int64_t batch, int64_t m, int64_t n, int64_t depth) {
  ProductShape s{batch, m, n, depth, 1, depth};
  if (s.empty() || depth <= least_depth) return s;
  const int64_t wanted = divide_up(wanted_blocks, batch * s.tiles());
  const int64_t even = divide_up(divide_up(depth, wanted), tile_depth) * tile_depth;
  s.split_depth = even < least_depth ? least_depth : even;
  s.splits = divide_up(depth, s.split_depth);
  return s;
}

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T item[each];
};

template <class T, class Problem>
__global__ void __launch_bounds__(256, resident_blocks<T>(each))
    product(Problem problem, ProductShape s) {
  constexpr int pitch = tile_side / each + 1;  // one more spreads columns over banks
  __shared__ Four<T> left[tile_depth][pitch], right[tile_depth][pitch];
  const int64_t down = (s.m + tile_side - 1) / tile_side, along = (s.n + tile_side - 1) / tile_side;
  const int tid = threadIdx.x;
  const int my_m = tid / 16 * each, my_n = tid % 16 * each;
  for (int64_t item = blockIdx.x; item < s.batch * s.splits * down * along; item += gridDim.x) {
    const int64_t n0 = item % along * tile_side, m0 = item / along % down * tile_side;
    const int64_t split = item / along / down % s.splits, b = item / along / down / s.splits;
    const int64_t begin = split * s.split_depth;
    const int64_t end = begin + s.split_depth < s.depth ? begin + s.split_depth : s.depth;
    T sum[each][each] = {};
    for (int64_t i0 = begin; i0 < end; i0 += tile_depth) {
#pragma unroll
      for (int j = 0; j < tile_side * tile_depth / 256; ++j) {
        const int e = tid + j * 256;
        {
          const int i = Problem::left_along_depth ? e % tile_depth : e / tile_side;
          const int m = Problem::left_along_depth ? e / tile_depth : e % tile_side;
          const bool inside = m0 + m < s.m && i0 + i < end;
          left[i][m / each].item[m % each] = inside ? problem.left(b, m0 + m, i0 + i) : T(0);
        }
        {
          const int i = Problem::right_along_depth ? e % tile_depth : e / tile_side;
          const int n = Problem::right_along_depth ? e / tile_depth : e % tile_side;
          const bool inside = n0 + n < s.n && i0 + i < end;
          right[i][n / each].item[n % each] = inside ? problem.right(b, i0 + i, n0 + n) : T(0);
        }
      }
      __syncthreads();
#pragma unroll
      for (int i = 0; i < tile_depth; ++i) {
        const Four<T> l = left[i][my_m / each], r = right[i][my_n / each];
#pragma unroll
        for (int p = 0; p < each; ++p)
#pragma unroll
          for (int q = 0; q < each; ++q) sum[p][q] += l.item[p] * r.item[q];
      }
      __syncthreads();
    }
#pragma unroll
    for (int p = 0; p < each; ++p)
#pragma unroll
      for (int q = 0; q < each; ++q)
        if (m0 + my_m + p < s.m && n0 + my_n + q < s.n)
          problem.put(b, split, m0 + my_m + p, n0 + my_n + q, sum[p][q]);
  }
}

template <class T, class Problem>
void run_product(const char* name, const ProductShape& shape, const Problem& problem,
                 const Queue& queue) {
  if (shape.empty()) return;
  const int64_t blocks = shape.batch * shape.splits * shape.tiles();
  launch(name, &product<T, Problem>, {at_most_blocks(blocks), 256}, queue, problem, shape);
}

}  // namespace equishare::cuda
