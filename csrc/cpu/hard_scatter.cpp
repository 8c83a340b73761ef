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
template <class S>
bool scatter_entries(const HardArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t batch = args.shape.batch, rows = args.shape.rows, groups = args.shape.groups;
  // With about as many groups as rows, adding the chunks would cost more than they save.
  const int threads = batch == 1 && 8 * groups > rows ? 1 : args.shape.threads;
  const Split split(batch, rows, batch * rows, threads);
  const bool whole = split.chunks == 1;
  const Split work = whole ? Split(1, batch, batch * rows, threads) : split;
  const bool copies = has_copies(rows / split.chunks, groups);
  const Scratch<double> partial(work.items, SegmentSums<T, 4>::size(groups, copies));
  const Scratch<T> buffers(is_half<S> ? work.items : 0, label_block);
  const bool checked = batch > 1 && rows <= label_block;
  if (checked && !all_below(args.labels, 0, args.labels.stride > 0 ? batch * rows : rows, groups))
    return false;
  const auto sum_problem = [&](int64_t b, int64_t first, int64_t end, int64_t item) {
    const S* x = args.in + b * rows;
    SegmentSums<T, 4> sums(partial[item], groups, copies);
    for (int64_t k = first; k < end; k += label_block) {
      const int64_t count = end - k < label_block ? end - k : label_block;
      const int64_t at = b * args.labels.stride + k;
      if (!checked && !all_below(args.labels, at, count, groups)) return false;
      const T* wide = widened_block(x + k, count, is_half<S> ? buffers[item] : nullptr);
      with_block(args.labels, at, count, groups,
                 [&](auto* block) { sums.add(block, wide, count); });
    }
    sums.finish();
    return true;
  };
  if (whole)
    return for_items_all(work, [&](int64_t item) {
      for (int64_t b = work.begin(item); b < work.end(item); ++b) {
        if (!sum_problem(b, 0, rows, item)) return false;
        for (int64_t g = 0; g < groups; ++g)
          put(args.out[b * groups + g], static_cast<T>(partial[item][g]));
      }
      return true;
    });
  const bool in_range = for_items_all(work, [&](int64_t item) {
    return sum_problem(split.problem(item), split.begin(item), split.end(item), item);
  });
  if (in_range) add_partials(split, batch, groups, partial, args.out);
  return in_range;
}

// The rows of each group: order[start[g]] .. order[start[g + 1] - 1], ascending. Labels are
// checked.
[[gnu::noinline]] void sort_rows(const Labels& labels, int64_t at, int64_t rows, int64_t groups,
                                 int64_t* start, int64_t* order) {
  fill_zero(start, groups + 1);
  with_labels(labels, [&](auto* all) {
    for (int64_t k = 0; k < rows; ++k) ++start[static_cast<int64_t>(all[at + k])];
  });
  int64_t end = 0;
  for (int64_t g = 0; g <= groups; ++g) {
    end += start[g];
    start[g] = end;
  }
  with_labels(labels, [&](auto* all) {
    for (int64_t k = rows; k-- > 0;) order[--start[static_cast<int64_t>(all[at + k])]] = k;
  });
}

// As many columns as a vector of the arithmetic has lanes, summed in double.
template <class S>
struct Doubles {
  using T = Arithmetic<S>;
  static constexpr int64_t each = lanes<double>, parts = lanes<T> / each;
  Vec<double> part[parts] = {};

  typedef T Narrow __attribute__((vector_size(sizeof(T) * each)));

  EQUISHARE_MEMBER void add(const S* x) {
    const T* from;
    T wide[lanes<T>];
    if constexpr (is_half<S>) {
      store(wide, load(x, Full{}, T(0)), Full{});
      from = wide;
    } else {
      from = x;
    }
    for (int64_t p = 0; p < parts; ++p) {
      Narrow narrow;
      __builtin_memcpy(&narrow, from + p * each, sizeof narrow);
      part[p] += __builtin_convertvector(narrow, Vec<double>);
    }
  }
  EQUISHARE_MEMBER Vec<T> rounded() const {
    Narrow narrow[parts];
    for (int64_t p = 0; p < parts; ++p) narrow[p] = __builtin_convertvector(part[p], Narrow);
    Vec<T> v;
    __builtin_memcpy(&v, narrow, sizeof v);
    return v;
  }
};

// The sum of `count` rows in the columns first..end-1, a few vectors at a time in registers.
template <class S>
void sum_rows(const S* x, int64_t columns, const int64_t* order, int64_t count, int64_t first,
              int64_t end, S* out) {
  constexpr int64_t width = lanes<Arithmetic<S>>, together = 4;
  int64_t c = first;
  if (count == 1) {
    __builtin_memcpy(out + first, x + order[0] * columns + first, sizeof(S) * (end - first));
    return;
  }
  for (; c + together * width <= end; c += together * width) {
    Doubles<S> sums[together];
    for (int64_t k = 0; k < count; ++k)
#pragma GCC unroll 4
      for (int64_t v = 0; v < together; ++v) sums[v].add(x + order[k] * columns + c + v * width);
#pragma GCC unroll 4
    for (int64_t v = 0; v < together; ++v) store(out + c + v * width, sums[v].rounded(), Full{});
  }
  for (; c < end; c += width) {
    const int64_t inside = end - c < width ? end - c : width;
    Doubles<S> sums;
    for (int64_t k = 0; k < count; ++k) {
      S padded[width] = {};
      __builtin_memcpy(padded, x + order[k] * columns + c, sizeof(S) * inside);
      sums.add(padded);
    }
    if (inside == width)
      store(out + c, sums.rounded(), Full{});
    else
      store(out + c, sums.rounded(), Part{inside});
  }
}

// Whole slices, in the order of their groups. Long rows are cut among the threads, else groups are,
// so that all threads add up about as many rows: two threads that write the halves of rows of 2 KiB
// take each other's lines, and were four times slower than one.
template <class S>
bool scatter_slices(const HardArgs<S>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  constexpr int64_t piece = 256;
  const int64_t pieces = (columns + piece - 1) / piece;
  const bool cut_columns = pieces >= 16 * args.shape.threads;
  const Split split(1, cut_columns ? pieces : rows, rows * columns, args.shape.threads);
  const Scratch<int64_t> starts(1, groups + 1), orders(1, rows);
  int64_t *start = starts[0], *order = orders[0];
  for (int64_t b = 0; b < args.shape.batch; ++b) {
    const S* x = args.in + b * rows * columns;
    S* out = args.out + b * groups * columns;
    if (b == 0 || args.labels.stride > 0) {
      const int64_t at = b * args.labels.stride;
      if (!all_below(args.labels, at, rows, groups)) return false;
      sort_rows(args.labels, at, rows, groups, start, order);
    }
    for_items(split, [&](int64_t item) {
      const int64_t begin = split.begin(item), end = split.end(item);
      const int64_t first = cut_columns ? begin * piece : 0;
      const int64_t last = cut_columns && end * piece < columns ? end * piece : columns;
      for (int64_t g = 0; g < groups; ++g) {
        // A group is the item's in which its rows start; those after the last row are the last's.
        const bool mine = cut_columns || (start[g] >= begin && (start[g] < end || end == rows));
        if (mine)
          sum_rows(x, columns, order + start[g], start[g + 1] - start[g], first, last,
                   out + g * columns);
      }
    });
  }
  return true;
}

template <class S>
EQUISHARE_INLINE void add_slice(const S* x, int64_t columns, double* sums) {
  constexpr int64_t width = lanes<Arithmetic<S>>;
  int64_t c = 0;
  for (; c + width <= columns; c += width) {
    Doubles<S> v;
    v.add(x + c);
    for (int64_t p = 0; p < v.parts; ++p) add_to(sums + c + p * v.each, v.part[p], Full{});
  }
  for (; c < columns; ++c) sums[c] += get(x[c]);
}

// Rows are added to the sums of all groups as they come.
template <class S>
bool scatter_columns(const HardArgs<S>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  const int64_t size = groups * columns;
  const int threads = args.shape.batch == 1 && 8 * groups > rows ? 1 : args.shape.threads;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * columns, threads);
  const Scratch<double> partial(split.items, size);
  const bool in_range = for_items_all(split, [&](int64_t item) {
    const int64_t b = split.problem(item), last = split.end(item);
    const S* x = args.in + b * rows * columns;
    double* sums = partial[item];
    fill_zero(sums, size);
    for (int64_t first = split.begin(item); first < last; first += label_block) {
      const int64_t at = b * args.labels.stride + first;
      const int64_t count = last - first < label_block ? last - first : label_block;
      if (!all_below(args.labels, at, count, groups)) return false;
      with_block(args.labels, at, count, groups, [&](auto* block) {
        for (int64_t k = 0; k < count; ++k)
          add_slice(x + (first + k) * columns, columns, sums + block[k] * columns);
      });
    }
    return true;
  });
  if (in_range) add_partials(split, args.shape.batch, size, partial, args.out);
  return in_range;
}

}  // namespace

template <class S>
bool hard_scatter(const HardArgs<S>& args) {
  const int64_t columns = args.shape.columns, groups = args.shape.groups;
  if (columns == 1) return scatter_entries(args);
  // Sums that stay in the second-level cache, several rows to each, or rows too short to be worth
  // their order. Measured at 65,536 rows of 128 and 200 groups: 2.3 ms so, 5.5 by slices; at
  // 1,000 rows of 512 and 900 groups: 620 us so, 80 by slices.
  constexpr int64_t most_sums = 1 << 16, few = 16;
  const bool cached = groups * columns <= most_sums && args.shape.rows >= 32 * groups;
  return cached || columns < few ? scatter_columns(args) : scatter_slices(args);
}

EQUISHARE_INSTANTIATE_CHECKED(hard_scatter, HardArgs)

}  // namespace equishare::EQUISHARE_ISA
