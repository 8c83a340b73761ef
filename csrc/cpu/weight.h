// Tiles of W[o,i] = values[label[o,i]], made where they are used, and products with them.
#pragma once

#include "cpu/lookup.h"
#include "cpu/product.h"
#include "cpu/segment_sum.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// Inputs of one tile: small enough for the tile's rows, the samples' entries beside them and the
// sums to stay in the cache, large enough to read the labels in runs.
constexpr int64_t tile_inputs = 256;
// Rows of a tile lie this far apart, so that they do not share the cache's sets.
constexpr int64_t tile_stride = tile_inputs + 16;

// Rows and vectors of sums in registers. Measured at 64 samples and 4096 x 4096 weights: 4 x 4
// takes 10 to 11.5 ms a product on two threads, 8 x 2 and 6 x 4 take 11 to 13, and 9.3 is the
// least.
#ifdef __AVX512F__
constexpr int sum_rows = 4, sum_vectors = 4;
#else
constexpr int sum_rows = 6, sum_vectors = 2;
#endif

// Rows that are made or summed at a time, so that a panel of the other factor is read from the
// first-level cache for most of them.
constexpr int64_t rows_at_once = 4 * sum_rows;

template <class T>
constexpr int64_t padded(int64_t count) {
  return (count + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// Calls f(offset, std::integral_constant of the vectors) along a row of whole vectors.
template <class T, class F>
EQUISHARE_INLINE void along_panels(int64_t count, F f) {
  int64_t n = 0;
  for (; n + sum_vectors * lanes<T> <= count; n += sum_vectors * lanes<T>)
    f(n, std::integral_constant<int, sum_vectors>());
  for (; n < count; n += lanes<T>) f(n, std::integral_constant<int, 1>());
}

// sum_i x[i] values[labels[i]] over at most label_block inputs.
template <class T, class L, class Table>
EQUISHARE_INLINE T look_up_and_dot(const Table& table, const L* labels, const T* x, int64_t count) {
  // As many sums as make no addition wait for the one before.
  constexpr int64_t width = lanes<T>, step = 4 * width;
  Vec<T> sums[4] = {}, found[4];
  const auto find = [&](const L* from) {
    for (int v = 0; v < 4; v += Table::vectors) table.find(from + v * width, found + v);
  };
  int64_t i = 0;
  for (; i + step <= count; i += step) {
    // The next block, which is checked before it is used.
    for (int64_t k = 0; k < step; k += 64 / sizeof(L))
      __builtin_prefetch(labels + i + label_block + k);
    find(labels + i);
    for (int64_t v = 0; v < 4; ++v) sums[v] += found[v] * load(x + i + v * width, Full{}, T(0));
  }
  if (i < count) {
    L rest[step] = {};
    __builtin_memcpy(rest, labels + i, sizeof(L) * (count - i));
    find(rest);
    T entries[step];
    for (int64_t v = 0; v < 4; ++v) store(entries + v * width, found[v], Full{});
    // No value of a label that is not there: it may be infinite.
    along_row<T>(count - i, [&](int64_t j, auto len) {
      sums[0] += load(entries + j, len, T(0)) * load(x + i + j, len, T(0));
    });
  }
  return sum<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Where number i of x stands: of each packed_labels, first the even ones, then the odd ones.
constexpr int64_t arranged_place(int64_t i) {
  constexpr int64_t half = packed_labels / 2;
  return i / packed_labels * packed_labels + i % 2 * half + i % packed_labels / 2;
}

// The same for labels of two a byte and x arranged for them.
template <class T, class Table>
EQUISHARE_INLINE T look_up_packed_and_dot(const Table& table, const uint8_t* packed, const T* x,
                                          int64_t count) {
  constexpr int vectors = Table::vectors;
  Vec<T> sums[4] = {}, found[vectors];
  int64_t i = 0;
  for (; i + packed_labels <= count; i += packed_labels) {
    __builtin_prefetch(packed + (i + label_block) / 2);
    for (int odd = 0; odd < 2; ++odd) {
      table.find_packed(packed + i / 2, odd, found);
      for (int v = 0; v < vectors; ++v) {
        const int64_t at = odd * vectors + v;
        sums[at % 4] += found[v] * load(x + i + at * lanes<T>, Full{}, T(0));
      }
    }
  }
  if (i < count) {
    uint8_t rest[packed_labels / 2] = {};
    __builtin_memcpy(rest, packed + i / 2, (count - i + 1) / 2);
    T entries[packed_labels];
    for (int odd = 0; odd < 2; ++odd) {
      table.find_packed(rest, odd, found);
      for (int v = 0; v < vectors; ++v)
        store(entries + (odd * vectors + v) * lanes<T>, found[v], Full{});
    }
    for (int64_t j = count - i; j < packed_labels; ++j) entries[arranged_place(j)] = 0;
    for (int64_t j = 0; j < packed_labels; j += lanes<T>)
      sums[0] += load(entries + j, Full{}, T(0)) * load(x + i + j, Full{}, T(0));
  }
  return sum<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// The labels of a tile lie in short runs, which the processor does not see coming.
constexpr int64_t rows_ahead = 8;

template <class T>
using TileSums = SegmentSums<T, 8>;

// W, through its labels and values, of which some outputs may have their own.
template <class T>
class Weight {
 public:
  Weight(const Labels& labels, int64_t outputs, int64_t inputs, const T* values, int64_t groups)
      : labels_(labels),
        inputs_(inputs),
        codebook_(labels.stride < outputs ? labels.stride : 0),
        row_(labels.type == LabelType::u4 ? (inputs + 1) / 2 * 2 : inputs),
        values_(values),
        lookup_(values, groups, (codebook_ > 0 ? codebook_ : outputs) * inputs) {}

  // Rows o.. and columns i.. of W into w, whose rows lie `stride` apart. This and the others return
  // false, the rest undone, at a label out of range.
  bool tile(int64_t o, int64_t i, int64_t rows, int64_t width, T* w, int64_t stride) const {
    bool in_range = true;
    const int64_t bits = bits_of(labels_.type);
    by_codebook(o, rows, width, [&](const auto& table, int64_t first, int64_t last) {
      for (int64_t r = first; in_range && r < last; ++r) {
        const int64_t row = r * row_ + i;
        const char* ahead =
            static_cast<const char*>(labels_.data) + (row + rows_ahead * row_) * bits / 8;
        for (int64_t k = 0; k < width * bits / 8; k += 64) __builtin_prefetch(ahead + k);
        in_range = all_below(labels_, row, width, lookup_.groups());
        if (in_range)
          with_block_for(table, labels_, row, width,
                         [&](auto* block) { look_up(table, block, width, w + (r - o) * stride); });
      }
    });
    return in_range;
  }

  bool check(int64_t o, int64_t i, int64_t rows, int64_t width) const {
    for (int64_t r = 0; r < rows; ++r)
      if (!all_below(labels_, (o + r) * row_ + i, width, lookup_.groups())) return false;
    return true;
  }

  // Adds a tile of the gradient of W to the sums of its groups; the labels have been checked.
  void add_segments(int64_t o, int64_t i, int64_t rows, int64_t width, const T* tile,
                    int64_t stride, TileSums<T>& sums) const {
    for (int64_t r = 0; r < rows; ++r)
      with_block(labels_, (o + r) * row_ + i, width, lookup_.groups(),
                 [&](auto* block) { sums.add(block, tile + r * stride, width); });
  }

  // x as dot wants it; the buffer holds dot_buffer entries.
  const T* arranged(const T* x, T* buffer) const {
    if (labels_.type != LabelType::u4) return x;
    bool is_packed = false;
    lookup_.with_table([&](const auto& table) { is_packed = table.is_packed; });
    if (!is_packed) return x;
    fill_zero(buffer, dot_buffer());
    for (int64_t i = 0; i < inputs_; ++i) buffer[arranged_place(i)] = x[i];
    return buffer;
  }
  int64_t dot_buffer() const {
    return labels_.type == LabelType::u4 ? inputs_ / packed_labels * packed_labels + packed_labels
                                         : 0;
  }

  // y[r] = sum_i x[i] W[o+r,i] of the arranged x.
  bool dot(int64_t o, int64_t rows, const T* x, T* y) const {
    bool in_range = true;
    by_codebook(o, rows, inputs_, [&](const auto& table, int64_t first, int64_t last) {
      using Table = std::decay_t<decltype(table)>;
      for (int64_t r = first; r < last; ++r) {
        T total = 0;
        for (int64_t i = 0; i < inputs_; i += label_block) {
          const int64_t row = r * row_ + i;
          const int64_t count = inputs_ - i < label_block ? inputs_ - i : label_block;
          in_range = in_range && all_below(labels_, row, count, lookup_.groups());
          if (!in_range) return;
          if constexpr (Table::is_packed)
            if (labels_.type == LabelType::u4) {
              total += look_up_packed_and_dot(table, packed_at(labels_, row), x + i, count);
              continue;
            }
          with_block_for(table, labels_, row, count, [&](auto* block) {
            total += look_up_and_dot(table, block, x + i, count);
          });
        }
        y[r - o] = total;
      }
    });
    return in_range;
  }

 private:
  // f(table, first, last) for the rows of each codebook among o..o+rows-1, of each of which `width`
  // entries are asked.
  template <class F>
  void by_codebook(int64_t o, int64_t rows, int64_t width, F f) const {
    if (codebook_ == 0) {
      lookup_.with_table([&](const auto& table) { f(table, o, o + rows); });
      return;
    }
    for (int64_t first = o, last; first < o + rows; first = last) {
      const int64_t number = first / codebook_;
      last = (number + 1) * codebook_ < o + rows ? (number + 1) * codebook_ : o + rows;
      // A large table is worth making for many entries. A packed one is as x has been arranged.
      const int64_t groups = lookup_.groups();
      const int64_t served = groups > 16 ? (last - first) * width / 4 : codebook_ * inputs_;
      const Lookup<T> own(values_ + number * groups, groups, served);
      own.with_table([&](const auto& table) { f(table, first, last); });
    }
  }

  Labels labels_;
  int64_t inputs_, codebook_;  // codebook_: outputs that share one, 0 for all
  int64_t row_;                // labels from one row to the next
  const T* values_;
  Lookup<T> lookup_;  // of the first codebook
};

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
