// Products of small blocks of matrices that lie in cache, row-major.
//
//   product  out (M, N) = or += a (M, K) b (K, N), vectors along N; a has any strides
//   dots     out (M, N) = or += a (M, C) b (N, C)^T, vectors along C
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

template <class T, int rows, int vectors, bool add, class Len>
EQUISHARE_INLINE void product_tile(Strided<T> a, const T* b, int64_t b_stride, int64_t inner,
                                   T* out, int64_t out_stride, Len len) {
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
template <class T, int rows, int vectors, bool add, class Len>
void product_panel(Strided<T> a, const T* b, int64_t b_stride, int64_t inner, T* out,
                   int64_t out_stride, int64_t count, Len len) {
  int64_t m = 0;
  for (; m + rows <= count; m += rows)
    product_tile<T, rows, vectors, add>({a.data + m * a.row, a.row, a.column}, b, b_stride, inner,
                                        out + m * out_stride, out_stride, len);
  if constexpr (rows > 1)
    if (m < count)
      product_panel<T, rows / 2, vectors, add>({a.data + m * a.row, a.row, a.column}, b, b_stride,
                                               inner, out + m * out_stride, out_stride, count - m,
                                               len);
}

template <bool add, class T>
void product(int64_t count, int64_t width, int64_t inner, Strided<T> a, const T* b,
             int64_t b_stride, T* out, int64_t out_stride) {
  constexpr int64_t panel = tile_vectors * lanes<T>;
  int64_t n = 0;
  for (; n + panel <= width; n += panel)
    product_panel<T, tile_rows, tile_vectors, add>(a, b + n, b_stride, inner, out + n, out_stride,
                                                   count, Full{});
  for (; n + lanes<T> <= width; n += lanes<T>)
    product_panel<T, tile_rows, 1, add>(a, b + n, b_stride, inner, out + n, out_stride, count,
                                        Full{});
  if (n < width)
    product_panel<T, tile_rows, 1, add>(a, b + n, b_stride, inner, out + n, out_stride, count,
                                        Part{width - n});
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
