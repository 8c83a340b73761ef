// hard_scatter: sums of entries or of whole slices by label. Layouts: args.h.
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/segment_sum.h"
#include "cpu/widen.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// One column. Each item sums its rows on its own; the partial sums of a problem are then added in
// order. Items of whole problems share their scratch.
template <class S, class L>
bool scatter_entries(const HardArgs<S>& args, const L* all_labels) {
  using T = Arithmetic<S>;
  const int64_t batch = args.shape.batch, rows = args.shape.rows, groups = args.shape.groups;
  // With about as many groups as rows, adding the chunks would cost more than they save.
  const int threads = batch == 1 && 8 * groups > rows ? 1 : args.shape.threads;
  const Split split(batch, rows, batch * rows, threads);
  const bool whole = split.chunks == 1;
  const Split work = whole ? Split(1, batch, batch * rows, threads) : split;
  const bool copies = has_copies(rows / split.chunks, groups);
  const Scratch<double> partial(work.items, SegmentSums<T>::size(groups, copies));
  const Scratch<T> buffers(is_half<S> ? work.items : 0, label_block);
  const auto sum_rows = [&](int64_t b, int64_t first, int64_t end, int64_t item) {
    const L* labels = all_labels + b * args.labels.stride;
    const S* x = args.in + b * rows;
    SegmentSums<T> sums(partial[item], groups, copies);
    for (int64_t k = first; k < end; k += label_block) {
      const int64_t count = end - k < label_block ? end - k : label_block;
      if (!all_below(labels + k, count, groups)) return false;
      sums.add(labels + k, widened_block(x + k, count, is_half<S> ? buffers[item] : nullptr),
               count);
    }
    sums.finish();
    return true;
  };
  if (whole)
    return for_items_all(work, [&](int64_t item) {
      for (int64_t b = work.begin(item); b < work.end(item); ++b) {
        if (!sum_rows(b, 0, rows, item)) return false;
        for (int64_t g = 0; g < groups; ++g)
          put(args.out[b * groups + g], static_cast<T>(partial[item][g]));
      }
      return true;
    });
  const bool in_range = for_items_all(work, [&](int64_t item) {
    return sum_rows(split.problem(item), split.begin(item), split.end(item), item);
  });
  if (in_range) add_partials(split, batch, groups, partial, args.out);
  return in_range;
}

// Columns that are summed together, where the sums of all groups then stay in the cache.
constexpr int64_t tile = 128, most_tile_sums = 1 << 14;

template <class S>
EQUISHARE_INLINE void add_slice(const S* x, int64_t columns, double* sums) {
  for (int64_t c = 0; c < columns; ++c) sums[c] += get(x[c]);
}

// Whole slices: the columns are cut instead of the rows, so that sums go straight to the output.
template <class S, class L>
bool scatter_columns(const HardArgs<S>& args, const L* all_labels) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  const Split split(args.shape.batch, (columns + tile - 1) / tile,
                    args.shape.batch * rows * columns, args.shape.threads);
  const Scratch<double> sums(split.items, groups * tile);
  return for_items_all(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const L* labels = all_labels + b * args.labels.stride;
    const S* x = args.in + b * rows * columns;
    S* out = args.out + b * groups * columns;
    double* sum = sums[item];
    if (!all_below(labels, rows, groups)) return false;
    for (int64_t t = split.begin(item); t < split.end(item); ++t) {
      const int64_t first = t * tile, width = columns - first < tile ? columns - first : tile;
      fill_zero(sum, groups * tile);
      for (int64_t k = 0; k < rows; ++k)
        add_slice(x + k * columns + first, width, sum + static_cast<int64_t>(labels[k]) * tile);
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t c = 0; c < width; ++c)
          put(out[g * columns + first + c], static_cast<Arithmetic<S>>(sum[g * tile + c]));
    }
    return true;
  });
}

template <class S, class L>
bool scatter_slices(const HardArgs<S>& args, const L* all_labels) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  const int64_t size = groups * columns;
  const int threads = args.shape.batch == 1 && 8 * groups > rows ? 1 : args.shape.threads;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * columns, threads);
  const Scratch<double> partial(split.items, size);
  const bool in_range = for_items_all(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const L* labels = all_labels + b * args.labels.stride;
    const S* x = args.in + b * rows * columns;
    double* sums = partial[item];
    fill_zero(sums, size);
    for (int64_t first = split.begin(item); first < split.end(item); first += label_block) {
      const int64_t end =
          first + label_block < split.end(item) ? first + label_block : split.end(item);
      if (!all_below(labels + first, end - first, groups)) return false;
      for (int64_t k = first; k < end; ++k)
        add_slice(x + k * columns, columns, sums + static_cast<int64_t>(labels[k]) * columns);
    }
    return true;
  });
  if (in_range) add_partials(split, args.shape.batch, size, partial, args.out);
  return in_range;
}

}  // namespace

template <class S>
bool hard_scatter(const HardArgs<S>& args) {
  return with_labels(args.labels, [&](auto* labels) {
    if (args.shape.columns == 1) return scatter_entries(args, labels);
    const bool cut_columns =
        args.shape.columns >= tile && args.shape.groups * tile <= most_tile_sums;
    return cut_columns ? scatter_columns(args, labels) : scatter_slices(args, labels);
  });
}

EQUISHARE_INSTANTIATE_CHECKED(hard_scatter, HardArgs)

}  // namespace equishare::EQUISHARE_ISA
