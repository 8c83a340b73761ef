// hard_gather, hard_scatter and the range of labels. Layouts: args.h.
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class S, class L>
void gather(const HardArgs<S>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * columns, args.shape.threads);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const L* labels = static_cast<const L*>(args.labels.data) + b * args.labels.stride;
    const S* values = args.in + b * groups * columns;
    S* out = args.out + b * rows * columns;
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t label = static_cast<int64_t>(labels[k]);
      for (int64_t c = 0; c < columns; ++c) out[k * columns + c] = values[label * columns + c];
    }
  });
}

// Columns that are summed together, where the sums of all groups then stay in the cache.
constexpr int64_t tile = 128, most_tile_sums = 1 << 14;

// Whole slices: the columns are cut instead of the rows, so that sums go straight to the output.
template <class S, class L>
void scatter_columns(const HardArgs<S>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  const Split split(args.shape.batch, (columns + tile - 1) / tile,
                    args.shape.batch * rows * columns, args.shape.threads);
  const Scratch<double> sums(split.items, groups * tile);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const L* labels = static_cast<const L*>(args.labels.data) + b * args.labels.stride;
    const S* x = args.in + b * rows * columns;
    S* out = args.out + b * groups * columns;
    double* sum = sums[item];
    for (int64_t t = split.begin(item); t < split.end(item); ++t) {
      const int64_t first = t * tile, width = columns - first < tile ? columns - first : tile;
      fill_zero(sum, groups * tile);
      for (int64_t k = 0; k < rows; ++k) {
        double* total = sum + static_cast<int64_t>(labels[k]) * tile;
        const S* from = x + k * columns + first;
        for (int64_t c = 0; c < width; ++c) total[c] += get(from[c]);
      }
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t c = 0; c < width; ++c)
          put(out[g * columns + first + c], static_cast<Arithmetic<S>>(sum[g * tile + c]));
    }
  });
}

// Sums in double: a group may hold millions of entries.
template <class S, class L>
void scatter(const HardArgs<S>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, columns = args.shape.columns;
  if (columns >= tile && groups * tile <= most_tile_sums) return scatter_columns<S, L>(args);
  const int64_t size = groups * columns;
  // With about as many groups as rows, adding the chunks would cost more than they save.
  const int threads = args.shape.batch == 1 && 8 * groups > rows ? 1 : args.shape.threads;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * columns, threads);
  const Scratch<double> partial(split.items, size);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const L* labels = static_cast<const L*>(args.labels.data) + b * args.labels.stride;
    const S* x = args.in + b * rows * columns;
    double* sums = partial[item];
    fill_zero(sums, size);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t label = static_cast<int64_t>(labels[k]);
      for (int64_t c = 0; c < columns; ++c) sums[label * columns + c] += get(x[k * columns + c]);
    }
  });
  add_partials(split, args.shape.batch, size, partial, args.out);
}

template <class L>
LabelRange range(const void* data, int64_t count) {
  const L* labels = static_cast<const L*>(data);
  L least = labels[0], greatest = labels[0];
  for (int64_t k = 1; k < count; ++k) {
    least = labels[k] < least ? labels[k] : least;
    greatest = labels[k] > greatest ? labels[k] : greatest;
  }
  return {static_cast<int64_t>(least), static_cast<int64_t>(greatest)};
}

}  // namespace

template <class S>
void hard_gather(const HardArgs<S>& args) {
  switch (args.labels.type) {
    case LabelType::u8:
      return gather<S, uint8_t>(args);
    case LabelType::i16:
      return gather<S, int16_t>(args);
    case LabelType::i32:
      return gather<S, int32_t>(args);
    case LabelType::i64:
      return gather<S, int64_t>(args);
  }
}

template <class S>
void hard_scatter(const HardArgs<S>& args) {
  switch (args.labels.type) {
    case LabelType::u8:
      return scatter<S, uint8_t>(args);
    case LabelType::i16:
      return scatter<S, int16_t>(args);
    case LabelType::i32:
      return scatter<S, int32_t>(args);
    case LabelType::i64:
      return scatter<S, int64_t>(args);
  }
}

LabelRange label_range(const Labels& labels, int64_t count) {
  if (count == 0) return {0, -1};
  switch (labels.type) {
    case LabelType::u8:
      return range<uint8_t>(labels.data, count);
    case LabelType::i16:
      return range<int16_t>(labels.data, count);
    case LabelType::i32:
      return range<int32_t>(labels.data, count);
    case LabelType::i64:
      return range<int64_t>(labels.data, count);
  }
  return {0, -1};
}

EQUISHARE_INSTANTIATE_STORAGE(hard_gather, HardArgs)
EQUISHARE_INSTANTIATE_STORAGE(hard_scatter, HardArgs)

}  // namespace equishare::EQUISHARE_ISA
