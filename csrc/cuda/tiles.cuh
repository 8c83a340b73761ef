// Passes that reduce every row and sum over rows, reading logits from memory once.
//
// A block walks down the rows of its chunk, a tile of rows at a time. The logits of a tile lie in
// one piece, and are copied to shared memory with many loads under way at once. Teams of threads
// reduce the rows; then each thread takes columns of its own, of which it keeps the sums in
// registers until the chunk ends:
//
//   tile (rows, G)     rows phase      team 0: row 0   team 1: row 1   ...
//                      columns phase   thread (x, y): packs x, x + across, ...
//                                      of rows y, y + down, ...
//
// A row too long for shared memory is read again, from the cache.
//
// A Pass has
//   sums                     how many sums over rows it forms
//   reads_rows               whether its rows phase reads the logits
//   heavy                    whether it needs many registers though it forms few sums
//   Row                      what the columns phase must know of a row
//   Column, column(b, g)     what the columns phase must know of a pack of columns
//   row(b, k, tile)          reduces a row; returns its Row, the same in the whole team
//   entry(...)               one pack of a row: adds to the sums, writes results
//   Total, add_rows(...), end_chunk(...)   a sum over the Rows of the chunk
#pragma once

#include "cuda/softmax.cuh"
#include "cuda/split.cuh"

namespace equishare::cuda {

struct Nothing {};  // for a Column or Total that a Pass does without

constexpr int64_t stage_bytes = 32 * 1024;  // of logits in shared memory
constexpr int64_t most_tile_rows = 64, most_unread_rows = 256;
constexpr int column_packs = 4;  // of one thread in registers

struct TilePlan {
  Split split;
  int team;
  int64_t tile_rows;
  bool staged;
};

template <class S, class Pass>
TilePlan plan_tiles(const Shape& s, int width) {
  TilePlan plan;
  plan.split = split_rows(s, width);
  if (!Pass::reads_rows) {
    plan.team = 1;
    plan.tile_rows = most_unread_rows;
    plan.staged = false;
    return plan;
  }
  plan.team = team_of(divide_up(s.groups, width), plan.split.threads);
  const int64_t row_bytes = s.groups * int64_t(sizeof(S));
  const int64_t fitting = row_bytes > 0 ? stage_bytes / row_bytes : most_tile_rows;
  plan.staged = fitting >= 1;
  plan.tile_rows = fitting < 1 ? 1 : fitting < most_tile_rows ? fitting : most_tile_rows;
  return plan;
}

inline int64_t padded(int64_t bytes) { return divide_up(bytes, 16) * 16; }

// A row in the rows phase, in shared memory or not.
template <class S>
struct TileRow {
  const S* logits;  // null for a team without a row
  int64_t groups;
  int lane, team;

  // f(g, logits) for the packs of this thread.
  template <int width, class F>
  __device__ void for_packs(F f) const {
    if (!logits) return;
#pragma unroll 2
    for (int64_t g = int64_t(lane) * width; g < groups; g += int64_t(team) * width)
      f(g, load_pack<width>(logits + g));
  }
};

constexpr int loads_ahead = 4;

// Copies `count` elements, whole packs, with all threads of the block.
template <int width, class S>
__device__ void copy_to_stage(S* stage, const S* from, int64_t count) {
  const int64_t step = int64_t(blockDim.x) * width;
  for (int64_t i = int64_t(threadIdx.x) * width; i < count; i += loads_ahead * step) {
    Pack<S, width> pack[loads_ahead];
#pragma unroll
    for (int j = 0; j < loads_ahead; ++j)
      if (i + j * step < count) pack[j] = load_pack<width>(from + i + j * step);
#pragma unroll
    for (int j = 0; j < loads_ahead; ++j)
      if (i + j * step < count) store_pack(stage + i + j * step, pack[j]);
  }
}

// Adds the sums of the rows of threads in their order; those of row 0 get the total.
template <int width, class A>
__device__ void add_down(A (&sum)[width], int across, A* room) {
  const int down = blockDim.x / across, x = threadIdx.x % across, y = threadIdx.x / across;
  for (int j = 0; j < width; ++j) room[(y * across + x) * width + j] = sum[j];
  __syncthreads();
  if (y == 0)
    for (int r = 1; r < down; ++r)
      for (int j = 0; j < width; ++j) sum[j] += room[(r * across + x) * width + j];
  __syncthreads();
}

// A measure of the registers that a thread needs; a pass that knows no better has `heavy` false.
template <int width, class Pass>
constexpr int kept_values() {
  const int kept = Pass::sums * width;
  return kept < 4 && (Pass::heavy || width > 4) ? 4 : kept;
}

// Dynamic shared memory: the logits of the tile (stage_size bytes), one Row for each of its rows
// (rows_size), room to add up rows of threads.
template <class S, int width, class Pass>
__global__ void __launch_bounds__(most_threads,
                                  resident_blocks<Arithmetic<S>>(kept_values<width, Pass>()))
    tile_pass(Pass pass, TilePlan plan, const S* logits, Arithmetic<S>* partial, int64_t stage_size,
              int64_t rows_size) {
  using A = Arithmetic<S>;
  using Row = typename Pass::Row;
  // The stores of a pass keep later loads from rising above them: costly unless from shared memory.
  constexpr int ahead = Pass::reads_rows ? 1 : loads_ahead;
  constexpr int sums = Pass::sums, room_for = sums > 0 ? sums : 1;
  const Split& split = plan.split;
  const int64_t groups = split.groups;
  S* const stage = reinterpret_cast<S*>(shared_memory());
  Row* const of_row = reinterpret_cast<Row*>(shared_memory() + stage_size);
  A* const room = reinterpret_cast<A*>(shared_memory() + stage_size + rows_size);
  const int teams = blockDim.x / plan.team, team = threadIdx.x / plan.team;
  const int lane = threadIdx.x % plan.team;
  const int across = split.across, down = blockDim.x / across;
  const int x = threadIdx.x % across, y = threadIdx.x / across;
  const int64_t panel = int64_t(across) * width * column_packs;  // columns in registers at a time

  for (int64_t item = blockIdx.x; item < split.batch * split.chunks; item += gridDim.x) {
    const int64_t b = item / split.chunks, begin = (item % split.chunks) * split.chunk_rows;
    const int64_t after = begin + split.chunk_rows;
    const int64_t end = after < split.rows ? after : split.rows;
    const S* const problem = logits + b * split.rows * groups;
    A* const of_chunk = sums > 0 ? partial + item * sums * groups : nullptr;
    A sum[column_packs][room_for][width] = {};
    typename Pass::Total total{};
    int64_t first = begin;
    do {
      const int64_t count = end - first < plan.tile_rows ? end - first : plan.tile_rows;
      const S* const source = plan.staged ? stage : problem + first * groups;
      if (plan.staged) {
        copy_to_stage<width>(stage, problem + first * groups, count * groups);
        __syncthreads();
      }
      for (int64_t r0 = 0; r0 < count; r0 += teams) {
        const int64_t r = r0 + team;
        const bool has_row = r < count;
        const TileRow<S> tile{has_row ? source + r * groups : nullptr, groups, lane, plan.team};
        const Row row = pass.template row<width>(b, first + r, tile);
        if (has_row && lane == 0) of_row[r] = row;
      }
      __syncthreads();
      pass.add_rows(of_row, count, total);
      const bool last = first + count >= end;
      for (int64_t base = 0; base < groups; base += panel) {
        const bool in_parts = panel < groups;
#pragma unroll
        for (int t = 0; t < column_packs; ++t) {
          const int64_t g = base + (int64_t(t) * across + x) * width;
          if (g >= groups) continue;
          if (sums > 0 && in_parts)
            for (int s = 0; s < sums; ++s)
              for (int j = 0; j < width; ++j)
                sum[t][s][j] = first == begin ? A(0) : of_chunk[s * groups + g + j];
          const typename Pass::template Column<width> column = pass.template column<width>(b, g);
          for (int64_t r0 = y; r0 < count; r0 += int64_t(ahead) * down) {
            Pack<S, width> z[ahead];
#pragma unroll
            for (int j = 0; j < ahead; ++j)
              if (r0 + j * down < count)
                z[j] = load_pack<width>(source + (r0 + j * down) * groups + g);
#pragma unroll
            for (int j = 0; j < ahead; ++j) {
              const int64_t r = r0 + j * down;
              if (r < count)
                pass.template entry<width>(b, first + r, g, z[j], of_row[r], column, sum[t]);
            }
          }
          if (sums > 0 && in_parts)
            for (int s = 0; s < sums; ++s)
              for (int j = 0; j < width; ++j) of_chunk[s * groups + g + j] = sum[t][s][j];
        }
      }
      __syncthreads();
      if (last && sums > 0 && panel >= groups) {
#pragma unroll
        for (int t = 0; t < column_packs; ++t) {
          if (int64_t(t) * across * width >= groups) break;
          const int64_t g = (int64_t(t) * across + x) * width;
#pragma unroll
          for (int s = 0; s < sums; ++s) {
            if (down > 1) add_down<width>(sum[t][s], across, room);
            if (y == 0 && g < groups)
              for (int j = 0; j < width; ++j) of_chunk[s * groups + g + j] = sum[t][s][j];
          }
        }
      }
      first += count;
    } while (first < end);
    pass.end_chunk(item, total);
  }
}

// A pass over logits (B, K, G); `partial` is null or has room for partial_entries of its sums.
template <class S, int width, class Pass>
void run_tiles(const char* name, const Shape& shape, const Pass& pass, const S* logits,
               Arithmetic<S>* partial, const Queue& queue) {
  const TilePlan plan = plan_tiles<S, Pass>(shape, width);
  const int64_t stage =
      plan.staged ? padded(plan.tile_rows * shape.groups * int64_t(sizeof(S))) : 0;
  const int64_t rows = padded(plan.tile_rows * int64_t(sizeof(typename Pass::Row)));
  const bool adds_down = Pass::sums > 0 && plan.split.across < plan.split.threads;
  const int64_t room = adds_down ? plan.split.threads * width * int64_t(sizeof(Arithmetic<S>)) : 0;
  launch(name, &tile_pass<S, width, Pass>,
         {plan.split.blocks(), plan.split.threads, stage + rows + room}, queue, pass, plan, logits,
         partial, stage, rows);
}

}  // namespace equishare::cuda
