// Products of small blocks of matrices that lie in cache, row-major.
//
//   product  out (M, N) = or += a (M, K) b (K, N), vectors along N; a has any strides
//   turn     out (N, M) = a (M, N)^T
//   dots     out (M, N) = a (M, C) b (N, C)^T, vectors along C
#pragma once

#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T>
struct Strided {
  const T* data;
  int64_t row, column;
};

// Accumulators, a row of b and one broadcast number fit into the registers.
#ifdef __AVX512F__
constexpr int tile_rows = 8;
#else
constexpr int tile_rows = 4;
#endif
constexpr int tile_vectors = 3;

template <class T, int rows, int vectors, class Len>
EQUISHARE_INLINE void product_tile(bool add, Strided<T> a, const T* b, int64_t b_stride,
                                   int64_t inner, T* out, int64_t out_stride, Len len) {
  Vec<T> sum[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = add ? load(out + r * out_stride + v * lanes<T>, len, T(0)) : Vec<T>();
  for (int64_t k = 0; k < inner; ++k) {
    Vec<T> right[vectors];
    for (int v = 0; v < vectors; ++v) right[v] = load(b + k * b_stride + v * lanes<T>, len, T(0));
    for (int r = 0; r < rows; ++r) {
      const T left = a.data[r * a.row + k * a.column];
      for (int v = 0; v < vectors; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) store(out + r * out_stride + v * lanes<T>, sum[r][v], len);
}

// All M rows of one panel of columns, in tiles of `rows` and then of fewer.
template <class T, int rows, int vectors, class Len>
void product_panel(bool add, Strided<T> a, const T* b, int64_t b_stride, int64_t inner, T* out,
                   int64_t out_stride, int64_t count, Len len) {
  int64_t m = 0;
  for (; m + rows <= count; m += rows)
    product_tile<T, rows, vectors>(add, {a.data + m * a.row, a.row, a.column}, b, b_stride, inner,
                                   out + m * out_stride, out_stride, len);
  if constexpr (rows > 1)
    if (m < count)
      product_panel<T, rows / 2, vectors>(add, {a.data + m * a.row, a.row, a.column}, b, b_stride,
                                          inner, out + m * out_stride, out_stride, count - m, len);
}

// A panel of b that many rows of a are multiplied with is copied first: at equal distances that are
// powers of two, its rows would share a few sets of the cache.
constexpr int64_t panel_inner = 128, worth_a_copy = 16;

template <class T>
void product(bool add, int64_t count, int64_t width, int64_t inner, Strided<T> a, const T* b,
             int64_t b_stride, T* out, int64_t out_stride) {
  T copy[panel_inner * tile_vectors * lanes<T>];
  for (int64_t k = 0; k < inner || k == 0; k += panel_inner) {
    const int64_t depth = inner - k < panel_inner ? inner - k : panel_inner;
    const Strided<T> left{a.data + k * a.column, a.row, a.column};
    const auto panel = [&](int64_t n, auto vectors, auto len) {
      const T* right = b + k * b_stride + n;
      int64_t stride = b_stride;
      if constexpr (vectors > 1)
        if (count >= worth_a_copy) {
          for (int64_t r = 0; r < depth; ++r)
            for (int64_t v = 0; v < vectors * lanes<T>; v += lanes<T>)
              store(copy + r * vectors * lanes<T> + v, load(right + r * stride + v, len, T(0)),
                    len);
          right = copy, stride = vectors * lanes<T>;
        }
      product_panel<T, tile_rows, vectors>(add || k > 0, left, right, stride, depth, out + n,
                                           out_stride, count, len);
    };
    int64_t n = 0;
    // Four vectors as two and two: one alone has too few sums to keep the processor busy.
    for (; n + tile_vectors * lanes<T> <= width && n + 4 * lanes<T> != width;
         n += tile_vectors * lanes<T>)
      panel(n, std::integral_constant<int, tile_vectors>(), Full{});
    for (; n + 2 * lanes<T> <= width; n += 2 * lanes<T>)
      panel(n, std::integral_constant<int, 2>(), Full{});
    for (; n + lanes<T> <= width; n += lanes<T>) panel(n, std::integral_constant<int, 1>(), Full{});
    if (n < width) panel(n, std::integral_constant<int, 1>(), Part{width - n});
  }
}

// (rows, columns) -> (columns, rows). Zeros follow the last row, up to a whole vector, as far as
// there is `room` in a row of out.
template <class T>
EQUISHARE_INLINE void turn(const T* in, int64_t in_stride, int64_t rows, int64_t columns, T* out,
                           int64_t out_stride, int64_t room) {
  for (int64_t r = 0; r < rows; r += lanes<T>)
    along_row<T>(columns, [&](int64_t c, auto len) {
      Vec<T> square[lanes<T>];
      for (int64_t i = 0; i < lanes<T>; ++i)
        square[i] = r + i < rows ? load(in + (r + i) * in_stride + c, len, T(0)) : Vec<T>();
      transpose<T>(square);
      const int64_t count = columns - c < lanes<T> ? columns - c : lanes<T>;
      for (int64_t i = 0; i < count; ++i) {
        T* to = out + (c + i) * out_stride + r;
        if (r + lanes<T> <= room)
          store(to, square[i], Full{});
        else
          store(to, square[i], Part{rows - r});
      }
    });
}

// As many dot products at a time as a vector has lanes: their sums are finished together. Rows and
// columns beyond the last repeat it and are not written.
template <class T>
void dots(int64_t count, int64_t width, int64_t inner, const T* a, int64_t a_stride, const T* b,
          int64_t b_stride, T* out, int64_t out_stride) {
  constexpr int down = lanes<T> >= 8 ? 4 : 2, across = lanes<T> / down;
  for (int64_t m = 0; m < count; m += down) {
    const T* left[down];
    for (int i = 0; i < down; ++i) left[i] = a + (m + i < count ? m + i : count - 1) * a_stride;
    for (int64_t n = 0; n < width; n += across) {
      const T* right[across];
      for (int j = 0; j < across; ++j)
        right[j] = b + (n + j < width ? n + j : width - 1) * b_stride;
      Vec<T> sum[lanes<T>];
      for (int i = 0; i < lanes<T>; ++i) sum[i] = Vec<T>();
      along_row<T>(inner, [&](int64_t c, auto len) {
        Vec<T> x[across];
        for (int j = 0; j < across; ++j) x[j] = load(right[j] + c, len, T(0));
        for (int i = 0; i < down; ++i) {
          const Vec<T> y = load(left[i] + c, len, T(0));
          for (int j = 0; j < across; ++j) sum[i * across + j] += y * x[j];
        }
      });
      const Vec<T> done = sums_of<T>(sum);
      for (int i = 0; i < down && m + i < count; ++i)
        for (int j = 0; j < across && n + j < width; ++j)
          out[(m + i) * out_stride + n + j] = done[i * across + j];
    }
  }
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
