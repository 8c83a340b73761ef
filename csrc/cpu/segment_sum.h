// Sums of entries by label, in double: a group may hold millions of entries.
#pragma once

#include "cpu/labels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

constexpr bool little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

// Neighbouring entries are added to different copies of the sums, so that no addition waits for the
// one before it where labels repeat; sums[label * copies + copy].
template <int Copies, class T, class L>
EQUISHARE_INLINE void add_segments(const L* labels, const T* x, int64_t count, double* sums) {
  // Bytes ahead of the reading; the processor's own prefetching ends with each page. Labels are
  // checked a block earlier.
  constexpr int64_t ahead = 2048, labels_ahead = label_block * static_cast<int64_t>(sizeof(L));
  const auto add = [&](int64_t k, int64_t copy) {
    sums[static_cast<int64_t>(labels[k]) * Copies + copy] += x[k];
  };
  int64_t k = 0;
  for (; k + 64 <= count; k += 64) {
    for (int64_t line = 0; line < 64 * static_cast<int64_t>(sizeof(T)); line += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(x + k) + ahead + line);
    for (int64_t line = 0; line < 64 * static_cast<int64_t>(sizeof(L)); line += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(labels + k) + labels_ahead + line);
    for (int64_t first = k; first < k + 64; first += 8) {
      if constexpr (sizeof(L) == 1) {
        // Eight labels in one load: loads are what there is most of here.
        uint64_t eight;
        __builtin_memcpy(&eight, labels + first, sizeof eight);
#pragma GCC unroll 8
        for (int64_t j = 0; j < 8; ++j) {
          const int64_t label = (eight >> (8 * (little_endian ? j : 7 - j))) & 255;
          sums[label * Copies + j % Copies] += x[first + j];
        }
      } else {
#pragma GCC unroll 8
        for (int64_t j = 0; j < 8; ++j) add(first + j, j % Copies);
      }
    }
  }
  for (; k < count; ++k) add(k, k % Copies);
}

// The copies pay where there are several entries to a sum and the sums stay in the cache.
inline bool has_copies(int64_t entries, int64_t groups) {
  return groups <= 1024 && entries >= 32 * groups;
}
constexpr int64_t sum_copies = 8;

// Sums of one thread over one problem.
template <class T>
class SegmentSums {
 public:
  SegmentSums(double* sums, int64_t groups, bool copies)
      : sums_(sums), groups_(groups), copies_(copies) {
    fill_zero(sums, groups * (copies ? sum_copies : 1));
  }
  static int64_t size(int64_t groups, bool copies) { return groups * (copies ? sum_copies : 1); }

  // The labels lie in range.
  template <class L>
  EQUISHARE_MEMBER void add(const L* labels, const T* x, int64_t count) {
    if (copies_)
      add_segments<sum_copies>(labels, x, count, sums_);
    else
      add_segments<1>(labels, x, count, sums_);
  }

  // Joins the copies: sums[0..groups-1] of the array then hold the result.
  void finish() {
    if (!copies_) return;
    for (int64_t g = 0; g < groups_; ++g) {
      const double* copy = sums_ + g * sum_copies;
      sums_[g] =
          ((copy[0] + copy[4]) + (copy[2] + copy[6])) + ((copy[1] + copy[5]) + (copy[3] + copy[7]));
    }
  }

 private:
  double* sums_;
  int64_t groups_;
  bool copies_;
};

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
