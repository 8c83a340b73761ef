// Scratch memory, and how work is cut into items and handed to threads.
#pragma once

#include <omp.h>

#include <cstdint>
#include <new>

#include "args.h"
#include "cpu/half.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// Scratch aligned to a cache line; throws std::bad_alloc, so make it outside parallel regions.
template <class T>
class Scratch {
 public:
  // One piece of `count` for each of `pieces`; no two share a cache line.
  Scratch(int64_t pieces, int64_t count)
      : stride_((count + 63) / 64 * 64),
        data_(static_cast<T*>(::operator new(sizeof(T) * stride_ * pieces, std::align_val_t(64)))) {
  }
  ~Scratch() { ::operator delete(data_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* operator[](int64_t piece) const { return data_ + piece * stride_; }

 private:
  int64_t stride_;
  T* data_;
};

template <class T>
EQUISHARE_INLINE void fill_zero(T* p, int64_t count) {
  __builtin_memset(p, 0, sizeof(T) * count);
}

// A batch of B problems of K rows cut into B * chunks items of consecutive rows. The cut follows
// from sizes and `threads` alone; one thread takes small work.
struct Split {
  int64_t chunks, items, rows;
  int threads;

  Split(int64_t batch, int64_t row_count, int64_t work, int thread_limit) : rows(row_count) {
    constexpr int64_t worth_a_thread = 8192;
    const int64_t useful = work / worth_a_thread;
    threads = useful < 1 ? 1 : useful < thread_limit ? static_cast<int>(useful) : thread_limit;
    const bool even = batch % threads == 0 || batch >= 4 * threads;
    chunks = even ? 1 : threads < rows ? threads : rows > 0 ? rows : 1;
    items = batch * chunks;
  }
  int64_t problem(int64_t item) const { return item / chunks; }
  int64_t begin(int64_t item) const { return rows * (item % chunks) / chunks; }
  int64_t end(int64_t item) const { return rows * (item % chunks + 1) / chunks; }
};

// Runs f(item, thread) for all items, on the split's threads 0, 1, ...
template <class F>
EQUISHARE_INLINE void for_items_on_threads(const Split& split, F f) {
  if (split.threads == 1) {
    for (int64_t item = 0; item < split.items; ++item) f(item, 0);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(split.threads)
  for (int64_t item = 0; item < split.items; ++item) f(item, omp_get_thread_num());
}

template <class F>
EQUISHARE_INLINE void for_items(const Split& split, F f) {
  for_items_on_threads(split, [&](int64_t item, int) { f(item); });
}

// The same for f that tells whether its item went well; whether all did.
template <class F>
EQUISHARE_INLINE bool for_items_all(const Split& split, F f) {
  bool all = true;
  if (split.threads == 1) {
    for (int64_t item = 0; all && item < split.items; ++item) all = f(item);
    return all;
  }
#pragma omp parallel for schedule(static) num_threads(split.threads) reduction(&& : all)
  for (int64_t item = 0; item < split.items; ++item) all = f(item) && all;
  return all;
}

// Adds the chunks' partial sums in order: out[problem] (count) = sum over its items of
// partial[item].
template <class P, class T>
EQUISHARE_INLINE void add_partials(const Split& split, int64_t batch, int64_t count,
                                   const Scratch<P>& partial, T* out) {
  for (int64_t b = 0; b < batch; ++b)
    if constexpr (std::is_same_v<P, Arithmetic<T>>) {
      along_row<P>(count, [&](int64_t j, auto len) {
        Vec<P> total = Vec<P>();
        for (int64_t c = 0; c < split.chunks; ++c)
          total += load(partial[b * split.chunks + c] + j, len, P(0));
        store(out + b * count + j, total, len);
      });
    } else {
      for (int64_t j = 0; j < count; ++j) {
        P total = 0;
        for (int64_t c = 0; c < split.chunks; ++c) total += partial[b * split.chunks + c][j];
        put(out[b * count + j], static_cast<Arithmetic<T>>(total));
      }
    }
}

// How a pass over some rows keeps what it reads and writes in the first-level cache. Short rows go
// together, so that sums over rows are read and written once for all of them. Long rows are taken
// piece by piece, one piece of all rows of a block after the other, so that values and sums of that
// piece stay. (Long rows together would not do: at powers of two, their equal offsets share one set
// of the cache.)
constexpr int together = 4;
constexpr int64_t piece = 1024;

template <class S>
bool is_short(int64_t groups) {
  return groups * static_cast<int64_t>(sizeof(S)) < 2048;
}

// Rows of a block: a few where a row is one piece, so that a second pass finds them in cache.
template <class S>
int64_t rows_in_block(int64_t groups) {
  return is_short<S>(groups) || groups > piece ? together : 1;
}

// Calls f(offset, width) for the pieces of a row.
template <class F>
EQUISHARE_INLINE void for_pieces(int64_t groups, F f) {
  for (int64_t g = 0; g < groups; g += piece) f(g, groups - g < piece ? groups - g : piece);
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
