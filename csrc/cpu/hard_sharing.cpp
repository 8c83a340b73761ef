// hard_gather and the range of labels. Layouts: args.h.
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/lookup.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// Values are moved, never computed with: both halves as bfloat16, in vectors as the bits of a
// float.
EQUISHARE_INLINE float carried(bfloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits));
}
EQUISHARE_INLINE float carried(float value) { return value; }
EQUISHARE_INLINE double carried(double value) { return value; }

// Streamed stores reach memory without a read of what was there. Other threads see them after the
// fence.
template <bool Stream, class T>
EQUISHARE_INLINE void write(T* out, Vec<T> v) {
#ifdef __AVX512F__
  if constexpr (Stream) return _mm512_stream_si512(reinterpret_cast<__m512i*>(out), (__m512i)v);
#elif defined(__AVX2__)
  if constexpr (Stream) return _mm256_stream_si256(reinterpret_cast<__m256i*>(out), (__m256i)v);
#endif
  store(out, v, Full{});
}
template <bool Stream>
EQUISHARE_INLINE void write(bfloat16* out, Vec<float> v) {
  const Halves h = __builtin_convertvector(__builtin_bit_cast(Words, v), Halves);
#ifdef __AVX512F__
  if constexpr (Stream) return _mm256_stream_si256(reinterpret_cast<__m256i*>(out), (__m256i)h);
#endif
  store_halves(&out->bits, h, Full{});
}

EQUISHARE_INLINE void fence() {
#ifdef __AVX2__
  _mm_sfence();
#endif
}

// Outputs of this many bytes leave the cache before anyone reads them. Measured at 16.7 M float
// entries of 16 groups: 1.3 ms streamed, 2.3 ms stored.
constexpr int64_t streamed_bytes = int64_t(16) << 20;

// Returns false, the rest of the output unwritten, at a label out of range.
template <bool Stream, class S, class Table>
bool gather_rows(const Table& table, const Labels& labels, int64_t at, const S* values,
                 int64_t groups, int64_t count, S* out) {
  constexpr int64_t width = lanes<Arithmetic<S>>, step = Table::vectors * width, size = sizeof(S);
  for (int64_t first = 0; first < count; first += label_block) {
    const int64_t end = count - first < label_block ? count - first : label_block;
    if (!all_below(labels, at + first, end, groups)) return false;
    with_block_for(table, labels, at + first, end, [&](auto* block) {
      S* to = out + first;
      int64_t k = 0;
      const auto one_by_one = [&](int64_t last) {
        for (; k < last; ++k) to[k] = values[static_cast<int64_t>(block[k])];
      };
      if constexpr (Table::in_registers) {
        if constexpr (Stream) {
          const int64_t head = -(reinterpret_cast<intptr_t>(to) / size) & (step - 1);
          one_by_one(head < end ? head : end);
        }
        Vec<Arithmetic<S>> found[Table::vectors];
        for (; k + step <= end; k += step) {
          table.find(block + k, found);
          for (int64_t v = 0; v < Table::vectors; ++v) write<Stream>(to + k + v * width, found[v]);
        }
      }
      one_by_one(end);
    });
  }
  return true;
}

// Below that, and with many groups, loads one by one are as good as a table.
constexpr int64_t few_rows = 64;

template <class S>
bool gather_entries(const Labels& labels, int64_t at, const S* values, int64_t groups,
                    int64_t count, bool stream, S* out) {
  using T = Arithmetic<S>;
  if (count < few_rows || count < 2 * groups || groups > 256)
    return gather_rows<false>(MemoryTable<T>(), labels, at, values, groups, count, out);
  T bits[256];
  for (int64_t g = 0; g < groups; ++g) bits[g] = carried(values[g]);
  bool in_range = true;
  Lookup<T>(bits, groups, count).with_table([&](const auto& table) {
    in_range = stream ? gather_rows<true>(table, labels, at, values, groups, count, out)
                      : gather_rows<false>(table, labels, at, values, groups, count, out);
  });
  if (stream) fence();
  return in_range;
}

template <class S>
bool gather_slices(const Labels& labels, int64_t at, const S* values, int64_t groups, int64_t count,
                   int64_t columns, S* out) {
  constexpr int64_t worth_a_call = 32;
  for (int64_t first = 0; first < count; first += label_block) {
    const int64_t end = count - first < label_block ? count - first : label_block;
    if (!all_below(labels, at + first, end, groups)) return false;
    with_block(labels, at + first, end, groups, [&](auto* block) {
      for (int64_t k = 0; k < end; ++k) {
        const S* from = values + block[k] * columns;
        S* to = out + (first + k) * columns;
        if (columns >= worth_a_call)
          __builtin_memcpy(to, from, sizeof(S) * columns);
        else
          for (int64_t c = 0; c < columns; ++c) to[c] = from[c];
      }
    });
  }
  return true;
}

// Many problems of a few rows.
template <class S>
bool gather_small(const Shape& shape, const Labels& labels, const S* values, S* out) {
  const int64_t batch = shape.batch, rows = shape.rows, groups = shape.groups;
  if (!all_below(labels, 0, labels.stride > 0 ? batch * rows : rows, groups)) return false;
  const Split split(1, batch, batch * rows, shape.threads);
  for_items(split, [&](int64_t item) {
    for (int64_t b = split.begin(item); b < split.end(item); ++b)
      with_block(labels, b * labels.stride, rows, groups, [&](auto* block) {
        for (int64_t k = 0; k < rows; ++k) out[b * rows + k] = values[b * groups + block[k]];
      });
  });
  return true;
}

template <class S>
bool gather(const Shape& shape, const Labels& labels, const S* in, S* out) {
  const int64_t rows = shape.rows, groups = shape.groups, columns = shape.columns;
  const int64_t size = shape.batch * rows * columns;
  const bool stream = size * static_cast<int64_t>(sizeof(S)) >= streamed_bytes;
  const Split split(shape.batch, rows, size, shape.threads);
  if (columns == 1 && shape.batch > 1 && rows < few_rows)
    return gather_small(shape, labels, in, out);
  return for_items_all(split, [&](int64_t item) {
    const int64_t b = split.problem(item), first = split.begin(item);
    const int64_t count = split.end(item) - first, at = b * labels.stride + first;
    const S* values = in + b * groups * columns;
    S* to = out + (b * rows + first) * columns;
    return columns == 1 ? gather_entries(labels, at, values, groups, count, stream, to)
                        : gather_slices(labels, at, values, groups, count, columns, to);
  });
}

template <class L>
LabelRange range(const L* labels, int64_t count) {
  L least = labels[0], greatest = labels[0];
  for (int64_t k = 1; k < count; ++k) {
    least = labels[k] < least ? labels[k] : least;
    greatest = labels[k] > greatest ? labels[k] : greatest;
  }
  return {static_cast<int64_t>(least), static_cast<int64_t>(greatest)};
}

}  // namespace

template <class S>
bool hard_gather(const HardArgs<S>& args) {
  using Moved = std::conditional_t<is_half<S>, bfloat16, S>;
  return gather(args.shape, args.labels, reinterpret_cast<const Moved*>(args.in),
                reinterpret_cast<Moved*>(args.out));
}

LabelRange label_range(const Labels& labels, int64_t count) {
  if (count == 0) return {0, -1};
  return with_labels(labels, [&](auto* typed) { return range(typed, count); });
}

EQUISHARE_INSTANTIATE_CHECKED(hard_gather, HardArgs)

}  // namespace equishare::EQUISHARE_ISA
