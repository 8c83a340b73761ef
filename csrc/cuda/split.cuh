// How the rows of a batch of (K, G) arrays are cut for sums over rows, and the second stage of
// those sums.
//
// First stage: a block takes the rows of one chunk of one problem and leaves its partial sums in
// scratch memory, (B, chunks, sums, G). Second stage: the chunks are added in their order. With one
// chunk a problem, the second stage copies.
#pragma once

#include "cuda/element.cuh"

namespace equishare::cuda {

constexpr int most_threads = 256;
constexpr int64_t wanted_blocks = 512;  // about four for each multiprocessor of a large device

struct Split {
  int64_t batch, rows, groups;
  int64_t chunks, chunk_rows;  // a problem's chunks; their rows, fewer in the last
  int across;                  // threads side by side along a row, a power of two
  int threads;                 // of a block

  int64_t blocks() const { return at_most_blocks(batch * chunks); }
};

// `width` elements a load. A chunk has several rows for each thread, so that partial sums cost
// little.
inline Split split_rows(const Shape& s, int width) {
  const int64_t packs = divide_up(s.groups, width);
  Split split{s.batch, s.rows, s.groups, 1, s.rows, power_of_two(packs, 1, most_threads), 0};
  const int64_t rows = s.rows > 0 ? s.rows : 1;
  split.threads = power_of_two(rows * split.across, 32, most_threads);
  const int64_t down = split.threads / split.across, least_rows = down < 2 ? 8 : 4 * down;
  const int64_t chunks = divide_up(wanted_blocks, s.batch > 0 ? s.batch : 1);
  split.chunk_rows = divide_up(s.rows, chunks);
  if (split.chunk_rows < least_rows) split.chunk_rows = least_rows;
  split.chunks = divide_up(rows, split.chunk_rows);
  return split;
}

// Entries of the partial sums, whichever width the pointers will allow.
template <class S>
int64_t partial_entries(const Shape& s, int sums) {
  const int64_t narrow_chunks = split_rows(s, 1).chunks;
  const int64_t wide_chunks = split_rows(s, pack_width<S>).chunks;
  return s.batch * (narrow_chunks > wide_chunks ? narrow_chunks : wide_chunks) * sums * s.groups;
}

// Threads of a block that adds partial sums: `warp` columns by as many rows of threads.
constexpr int sum_columns = 32, sum_rows = 8;

// The sum of partial[j * stride] over j < count, for one column a lane; all threads of the block
// take part, and those of the first row of threads get the sum. `partial` may be null for a thread
// without a column.
template <class A>
__device__ A sum_of_chunks(const A* partial, int64_t count, int64_t stride) {
  const int row = threadIdx.x / sum_columns;
  A total = 0;
  if (partial)
    for (int64_t j = row; j < count; j += sum_rows) total += partial[j * stride];
  __shared__ A of_row[sum_rows][sum_columns];
  __syncthreads();  // an earlier sum may still be read
  of_row[row][threadIdx.x % sum_columns] = total;
  __syncthreads();
  if (row == 0)
    for (int r = 1; r < sum_rows; ++r) total += of_row[r][threadIdx.x];
  return total;
}

// out[b, n] = sum over j of partial[b, j, n], n < size.
template <class A, class S>
__global__ void __launch_bounds__(sum_columns* sum_rows)
    add_chunks(const A* partial, int64_t batch, int64_t chunks, int64_t size, S* out) {
  const int64_t tiles = (size + sum_columns - 1) / sum_columns;
  for (int64_t item = blockIdx.x; item < batch * tiles; item += gridDim.x) {
    const int64_t b = item / tiles;
    const int64_t n = (item % tiles) * sum_columns + threadIdx.x % sum_columns;
    const A* first = n < size ? partial + b * chunks * size + n : nullptr;
    const A total = sum_of_chunks(first, chunks, size);
    if (first && threadIdx.x < sum_columns) out[b * size + n] = narrow<S>(Arithmetic<S>(total));
  }
}

inline Grid sums_grid(int64_t batch, int64_t size) {
  const int64_t blocks = batch * divide_up(size, sum_columns);
  return {at_most_blocks(blocks), sum_columns * sum_rows};
}

template <class A, class S>
void add_partials(const char* name, const A* partial, int64_t batch, int64_t chunks, int64_t size,
                  S* out, const Queue& queue) {
  launch(name, &add_chunks<A, S>, sums_grid(batch, size), queue, partial, batch, chunks, size, out);
}

}  // namespace equishare::cuda
