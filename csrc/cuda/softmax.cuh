// The softmax of a row, formed by a team of threads in one pass over the logits.
//
// A team is 1, 2, 4, ... 32 neighbouring lanes of a warp, or the whole block. Every thread of the
// block takes part in a merge, also one whose team has no row.
#pragma once

#include "cuda/element.cuh"

namespace equishare::cuda {

constexpr unsigned all_lanes = 0xffffffffu;
constexpr int warp = 32;
constexpr int most_warps = 8;  // of a block

// How many threads work on a row of `packs` packs, in a block of `threads`.
inline int team_of(int64_t packs, int threads) {
  return packs >= 8 * warp && threads > warp ? threads : power_of_two(packs, 1, warp);
}

// A power of two by which values are multiplied before they are summed, and their sum divided
// afterwards: exponentials are at most 1, so that sums of `groups` of them stay within the range.
template <class T>
T shrink_of(int64_t groups) {
  T power = 1;
  while (power < T(groups)) power *= 2;
  return 1 / power;
}

// Sums over a row relative to the largest logit met so far. With all logits -inf so far, the sums
// are 0.
template <class T, bool with_value, bool with_moment>
struct RowSums {
  T most, total;
  T weighted;  // sum of e v shrink, if with_value
  T moment;    // sum of e (logit - most), if with_moment

  __device__ static RowSums none() { return {-infinity<T>, T(0), T(0), T(0)}; }

  __device__ void shift(T to) {
    if (to == most) return;
    const T fall = at_least(most - to, least_log<T>);
    const T factor = exponential(fall);
    if (with_moment) moment = factor * (moment + fall * total);
    if (with_value) weighted *= factor;
    total *= factor;
    most = to;
  }

  template <class S, int width>
  __device__ void add(const Pack<S, width>& logits, const Pack<S, width>& values, T shrink = 1) {
    T top = most;
    for (int j = 0; j < width; ++j) top = larger<T>(widen(logits.item[j]), top);
    shift(top);
    const T base = most == -infinity<T> ? T(0) : most;
    for (int j = 0; j < width; ++j) {
      const T depth = widen(logits.item[j]) - base;
      const T e = exponential(depth);
      total += e;
      if (with_value) weighted += e * (widen(values.item[j]) * shrink);
      if (with_moment) moment += e * at_least(depth, least_log<T>);
    }
  }

  __device__ void merge(RowSums other) {
    const T top = larger(other.most, most);
    shift(top);
    other.shift(top);
    total += other.total;
    if (with_value) weighted += other.weighted;
    if (with_moment) moment += other.moment;
  }

  __device__ RowSums across(int offset) const {
    RowSums other = *this;
    other.most = __shfl_xor_sync(all_lanes, most, offset);
    other.total = __shfl_xor_sync(all_lanes, total, offset);
    if (with_value) other.weighted = __shfl_xor_sync(all_lanes, weighted, offset);
    if (with_moment) other.moment = __shfl_xor_sync(all_lanes, moment, offset);
    return other;
  }
};

// A plain sum, with the same interface.
template <class T>
struct Sum {
  T total;
  __device__ void merge(Sum other) { total += other.total; }
  __device__ Sum across(int offset) const { return {__shfl_xor_sync(all_lanes, total, offset)}; }
};

// The merged values of all threads of the team, the same bits in each of them.
template <class V>
__device__ V merge_team(V value, int team) {
  for (int offset = (team < warp ? team : warp) / 2; offset > 0; offset /= 2)
    value.merge(value.across(offset));
  if (team <= warp) return value;
  __shared__ V of_warp[most_warps];
  __syncthreads();  // an earlier merge may still be read
  if (threadIdx.x % warp == 0) of_warp[threadIdx.x / warp] = value;
  __syncthreads();
  value = of_warp[0];
  for (int w = 1; w < team / warp; ++w) value.merge(of_warp[w]);
  return value;
}

}  // namespace equishare::cuda
