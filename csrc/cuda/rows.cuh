// Kernels with one team a row and no sums over rows.
#pragma once

#include "cuda/softmax.cuh"

namespace equishare::cuda {

// Where the teams of a launch work: team t of block b on rows b * teams + t, and so on in strides
// of the grid. The loop is the same for the whole block, so that merges meet.
template <class F>
__device__ void for_rows(int64_t rows, int team, F f) {
  const int64_t teams = blockDim.x / team;
  for (int64_t first = blockIdx.x * teams; first < rows; first += int64_t(gridDim.x) * teams)
    f(first + threadIdx.x / team, threadIdx.x % team);
}

inline Grid rows_grid(int64_t rows, int team) {
  const int threads = team > warp ? team : power_of_two(rows * team, warp, 128);
  const int64_t blocks = divide_up(rows, threads / team);
  return {at_most_blocks(blocks), threads};
}

inline int team_of_rows(int64_t packs) { return team_of(packs, most_warps * warp); }

// theta (rows) = A values with values (rows / rows_a_problem, G), and stats (rows, 2); the one or
// the other may be null.
template <class S, int width, bool with_value>
__global__ void __launch_bounds__(most_warps* warp, resident_blocks<Arithmetic<S>>(0))
    gather_rows(int64_t rows, int64_t rows_a_problem, int64_t groups, int team,
                Arithmetic<S> shrink, const S* logits, const S* values, S* theta,
                Arithmetic<S>* stats) {
  using A = Arithmetic<S>;
  for_rows(rows, team, [&](int64_t row, int lane) {
    auto sums = RowSums<A, with_value, false>::none();
    if (row < rows) {
      const S* const z = logits + row * groups;
      const S* const v = with_value ? values + row / rows_a_problem * groups : z;
#pragma unroll 4
      for (int64_t g = int64_t(lane) * width; g < groups; g += int64_t(team) * width)
        sums.add(load_pack<width>(z + g), load_pack<width>(v + g), shrink);
    }
    sums = merge_team(sums, team);
    if (row < rows && lane == 0) {
      const A scale = A(1) / sums.total;
      if (with_value) theta[row] = narrow<S>(sums.weighted * scale / shrink);
      if (stats) {
        stats[2 * row] = sums.most;
        stats[2 * row + 1] = scale;
      }
    }
  });
}

template <class S, bool with_value>
void run_gather_rows(const char* name, const Shape& s, const S* logits, const S* values, S* theta,
                     Arithmetic<S>* stats, const Queue& queue) {
  const int64_t rows = s.batch * s.rows;
  const auto run = [&](auto kernel, int width) {
    const int team = team_of_rows(divide_up(s.groups, width));
    launch(name, kernel, rows_grid(rows, team), queue, rows, s.rows, s.groups, team,
           shrink_of<Arithmetic<S>>(s.groups), logits, values, theta, stats);
  };
  if (with_value ? in_packs(s.groups, logits, values) : in_packs(s.groups, logits))
    run(&gather_rows<S, pack_width<S>, with_value>, pack_width<S>);
  else
    run(&gather_rows<S, 1, with_value>, 1);
}

// dots[row] = sum over c of a[row, c] b[row, c]
template <class S>
__global__ void __launch_bounds__(most_warps* warp)
    dot_rows(int64_t rows, int64_t columns, int team, const S* a, const S* b, Arithmetic<S>* dots) {
  for_rows(rows, team, [&](int64_t row, int lane) {
    Sum<Arithmetic<S>> sum{0};
    if (row < rows)
      for (int64_t c = lane; c < columns; c += team)
        sum.total += widen(a[row * columns + c]) * widen(b[row * columns + c]);
    sum = merge_team(sum, team);
    if (row < rows && lane == 0) dots[row] = sum.total;
  });
}

}  // namespace equishare::cuda
