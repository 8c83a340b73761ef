// Sums of entries by label, in double: a group may hold millions of entries.
#pragma once

#include "cpu/labels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

typedef double Two __attribute__((vector_size(16)));

// Eight numbers in double. GCC 12 would convert them two at a time, each two from a load.
template <class T>
EQUISHARE_INLINE void widen_eight(const T* x, Two* out) {
#ifdef __AVX2__
  if constexpr (sizeof(T) == 4) {
    for (int h = 0; h < 2; ++h) {
      const __m256d four = _mm256_cvtps_pd(_mm_loadu_ps(x + 4 * h));
      out[2 * h] = (Two)_mm256_castpd256_pd128(four);
      out[2 * h + 1] = (Two)_mm256_extractf128_pd(four, 1);
    }
    return;
  }
#endif
  for (int h = 0; h < 4; ++h) out[h] = Two{x[2 * h], x[2 * h + 1]};
}

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
      // Loads and stores are what there is most of: eight labels and four numbers in one load each.
      Two wide[4];
      widen_eight(x + first, wide);
      uint64_t eight = 0;
      if constexpr (sizeof(L) == 1) __builtin_memcpy(&eight, labels + first, sizeof eight);
#pragma GCC unroll 8
      for (int64_t j = 0; j < 8; ++j) {
        const int64_t label = sizeof(L) == 1 ? (eight >> (8 * (little_endian ? j : 7 - j))) & 255
                                             : static_cast<int64_t>(labels[first + j]);
        sums[label * Copies + j % Copies] += wide[j / 2][j % 2];
      }
    }
  }
  for (; k < count; ++k) add(k, k % Copies);
}

// The copies pay where there are several entries to a sum and the sums stay in the cache.
inline bool has_copies(int64_t entries, int64_t groups) {
  return groups <= 1024 && entries >= 32 * groups;
}

// Sums of one thread over one problem. Of many entries that stream past, four copies took 0.2 ms of
// 4 less than eight; eight are twice as fast where one group has nearly all entries.
template <class T, int Copies>
class SegmentSums {
 public:
  SegmentSums(double* sums, int64_t groups, bool copies)
      : sums_(sums), groups_(groups), copies_(copies) {
    fill_zero(sums, groups * (copies ? Copies : 1));
  }
  static int64_t size(int64_t groups, bool copies) { return groups * (copies ? Copies : 1); }

  // The labels lie in range.
  template <class L>
  EQUISHARE_MEMBER void add(const L* labels, const T* x, int64_t count) {
    if (copies_)
      add_segments<Copies>(labels, x, count, sums_);
    else
      add_segments<1>(labels, x, count, sums_);
  }

  // Joins the copies: sums[0..groups-1] of the array then hold the result.
  void finish() {
    if (!copies_) return;
    for (int64_t g = 0; g < groups_; ++g) {
      const double* copy = sums_ + g * Copies;
      double part[Copies];
      for (int c = 0; c < Copies; ++c) part[c] = copy[c];
      for (int half = Copies / 2; half > 0; half /= 2)
        for (int c = 0; c < half; ++c) part[c] += part[c + half];
      sums_[g] = part[0];
    }
  }

 private:
  double* sums_;
  int64_t groups_;
  bool copies_;
};

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
