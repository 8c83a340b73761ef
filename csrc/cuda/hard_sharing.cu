// hard_gather, hard_scatter and the range of labels. Layouts: args.h.
#include "cuda/kernels.h"
#include "cuda/rows.cuh"
#include "cuda/segments.cuh"

namespace equishare::cuda {
namespace {

// Elements are copied, not read: their size is all that counts.
template <int bytes>
struct BitsOf;
template <>
struct BitsOf<2> {
  using type = uint16_t;
};
template <>
struct BitsOf<4> {
  using type = uint32_t;
};
template <>
struct BitsOf<8> {
  using type = uint64_t;
};

constexpr int labels_at_once = 4;

// One column: a thread copies `width` entries.
template <class U, class L, int width>
__global__ void __launch_bounds__(most_threads, 4)
    gather_entries(Shape s, const L* labels, int64_t stride, const U* values, U* out) {
  const int64_t count = s.batch * s.rows / width, step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t entry = i * width, b = entry / s.rows, k = entry - b * s.rows;
    const Pack<L, width> of = load_pack<width>(labels + b * stride + k);
    Pack<U, width> result;
    for (int j = 0; j < width; ++j)
      result.item[j] = values[b * s.groups + static_cast<int64_t>(of.item[j])];
    store_pack(out + entry, result);
  }
}

// Several columns: a team copies a row.
template <class U, class L, int width>
__global__ void __launch_bounds__(most_threads)
    gather_slices(Shape s, int team, const L* labels, int64_t stride, const U* values, U* out) {
  const int64_t rows = s.batch * s.rows;
  for_rows(rows, team, [&](int64_t row, int lane) {
    if (row >= rows) return;
    const int64_t b = row / s.rows, label = static_cast<int64_t>(labels[b * stride + row % s.rows]);
    const U* const from = values + (b * s.groups + label) * s.columns;
    for (int64_t c = int64_t(lane) * width; c < s.columns; c += int64_t(team) * width)
      store_pack(out + row * s.columns + c, load_pack<width>(from + c));
  });
}

template <class S>
struct Entries {
  int64_t rows, columns;
  const S* x;
  __device__ double value(int64_t b, int64_t k, int64_t c) const {
    return widen(x[(b * rows + k) * columns + c]);
  }
};

struct Range {
  int64_t least, greatest;
  __device__ static Range none() { return {INT64_MAX, INT64_MIN}; }
  __device__ void merge(Range other) {
    least = other.least < least ? other.least : least;
    greatest = other.greatest > greatest ? other.greatest : greatest;
  }
  __device__ Range across(int offset) const {
    return {__shfl_xor_sync(all_lanes, least, offset),
            __shfl_xor_sync(all_lanes, greatest, offset)};
  }
};

constexpr int range_blocks = 512;

// The range of the labels that each block sees.
template <class L>
__global__ void __launch_bounds__(most_threads)
    range_of_labels(const L* labels, int64_t count, Range* ranges) {
  Range range = Range::none();
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t k = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
    const int64_t label = static_cast<int64_t>(labels[k]);
    range.merge({label, label});
  }
  range = merge_team(range, blockDim.x);
  if (threadIdx.x == 0) ranges[blockIdx.x] = range;
}

__global__ void __launch_bounds__(most_threads) range_of_ranges(Range* ranges, int count) {
  Range range = Range::none();
  for (int i = threadIdx.x; i < count; i += blockDim.x) range.merge(ranges[i]);
  range = merge_team(range, blockDim.x);
  if (threadIdx.x == 0) ranges[count] = range;
}

Segments segments_of(const Shape& shape) { return split_segments(shape, 0); }

}  // namespace

template <class S>
void hard_gather(const HardArgs<S>& args, const Queue& queue) {
  using U = typename BitsOf<sizeof(S)>::type;
  const char* const name = "hard_gather";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const U* const values = reinterpret_cast<const U*>(args.in);
  U* const out = reinterpret_cast<U*>(args.out);
  with_label_type(args.labels.type, [&](auto of_type) {
    using L = decltype(of_type);
    const L* const labels = static_cast<const L*>(args.labels.data);
    if (s.columns == 1) {
      const auto run = [&](auto kernel, int width) {
        const int64_t blocks = divide_up(s.batch * s.rows / width, most_threads);
        launch(name, kernel, {at_most_blocks(blocks), most_threads}, queue, s, labels,
               args.labels.stride, values, out);
      };
      s.rows % labels_at_once == 0 && in_packs(0, labels, out)
          ? run(&gather_entries<U, L, labels_at_once>, labels_at_once)
          : run(&gather_entries<U, L, 1>, 1);
    } else {
      const auto run = [&](auto kernel, int width) {
        const int team = team_of_rows(divide_up(s.columns, width));
        launch(name, kernel, rows_grid(s.batch * s.rows, team), queue, s, team, labels,
               args.labels.stride, values, out);
      };
      in_packs(s.columns, values, out) ? run(&gather_slices<U, L, pack_width<U>>, pack_width<U>)
                                       : run(&gather_slices<U, L, 1>, 1);
    }
  });
}

template <class S>
void hard_scatter(const HardArgs<S>& args, const Queue& queue) {
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  run_segments("hard_scatter", split_segments(s, args.labels.stride),
               Entries<S>{s.rows, s.columns, args.in}, args.labels,
               static_cast<double*>(queue.workspace), args.out, queue);
}

LabelRange label_range(const Labels& labels, int64_t count, const Queue& queue) {
  if (count == 0) return {0, -1};
  const DeviceGuard guard(queue.device);
  const int64_t wanted = divide_up(count, most_threads);
  const int blocks = static_cast<int>(wanted < range_blocks ? wanted : range_blocks);
  Range* const ranges = static_cast<Range*>(queue.workspace);
  with_label_type(labels.type, [&](auto of_type) {
    using L = decltype(of_type);
    launch("label_range", &range_of_labels<L>, {blocks, most_threads}, queue,
           static_cast<const L*>(labels.data), count, ranges);
  });
  launch("label_range", &range_of_ranges, {1, most_threads}, queue, ranges, blocks);
  Range range;
  copy_to_host(&range, ranges + blocks, sizeof range, queue);
  return {range.least, range.greatest};
}

template <class S>
int64_t hard_gather_workspace(const Shape&) {
  return 0;
}
template <class S>
int64_t hard_scatter_workspace(const Shape& shape) {
  return segments_of(shape).partial_entries() * int64_t(sizeof(double));
}
int64_t label_range_workspace() { return (range_blocks + 1) * int64_t(sizeof(Range)); }

#define EQUISHARE_INSTANTIATE(S)                                \
  template void hard_gather(const HardArgs<S>&, const Queue&);  \
  template void hard_scatter(const HardArgs<S>&, const Queue&); \
  template int64_t hard_gather_workspace<S>(const Shape&);      \
  template int64_t hard_scatter_workspace<S>(const Shape&);
EQUISHARE_INSTANTIATE(float)
EQUISHARE_INSTANTIATE(double)
EQUISHARE_INSTANTIATE(bfloat16)
EQUISHARE_INSTANTIATE(float16)

}  // namespace equishare::cuda
