// As many small problems at a time as a vector has lanes, one problem a lane.
#pragma once

#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {

// Small enough that a tile and its logits stay in the second-level cache, enough problems to fill
// half of the lanes.
template <class T>
static inline bool fits_tiles(const Shape& s) {
  return 2 * s.batch >= lanes<T> && s.rows * s.groups <= 1024;
}

template <class T>
static inline int64_t tile_count(const Shape& s) {
  return (s.batch + lanes<T> - 1) / lanes<T>;
}

namespace {

// The problems of one tile: `count` of them. Lanes beyond repeat the last one and are not written.
template <class T>
struct Tile {
  int64_t first, count;

  // (count, size) entries of an array -> (size) vectors.
  template <class S>
  [[gnu::noinline]] void read(const S* array, int64_t size, Vec<T>* out) const {
    along_row<T>(size, [&](int64_t j, auto len) {
      Vec<T> square[lanes<T>];
      for (int64_t lane = 0; lane < lanes<T>; ++lane)
        square[lane] = load(entry(array, size, lane) + j, len, T(0));
      transpose<T>(square);
      for (int64_t i = 0; i < inside(len); ++i) out[j + i] = square[i];
    });
  }
  template <class S>
  void write(const Vec<T>* in, int64_t size, S* array) const {
    along_row<T>(size, [&](int64_t j, auto len) {
      Vec<T> square[lanes<T>];
      for (int64_t i = 0; i < lanes<T>; ++i) square[i] = in[i < inside(len) ? j + i : j];
      transpose<T>(square);
      for (int64_t lane = 0; lane < count; ++lane)
        store(entry(array, size, lane) + j, square[lane], len);
    });
  }

 private:
  template <class S>
  S* entry(S* array, int64_t size, int64_t lane) const {
    return array + (first + (lane < count ? lane : count - 1)) * size;
  }
  static int64_t inside(Full) { return lanes<T>; }
  static int64_t inside(Part part) { return part.count; }
};

template <class T>
Tile<T> tile_at(int64_t index, int64_t batch) {
  const int64_t first = index * lanes<T>, left = batch - first;
  return {first, left < lanes<T> ? left : lanes<T>};
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
