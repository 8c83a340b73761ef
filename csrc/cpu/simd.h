// The widest vectors of the instruction set that this file is compiled for, and loops over them.
#pragma once

#include <cstdint>
#include <new>

#include "args.h"
#include "vec_math.h"

#ifdef __AVX512F__
#include <immintrin.h>
#define EQUISHARE_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define EQUISHARE_VECTOR_BYTES 32
#else
#define EQUISHARE_VECTOR_BYTES 16
#endif

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  using ScalarBits = int32_t;
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(EQUISHARE_VECTOR_BYTES)));
  using ScalarBits = int64_t;
};

template <class T>
using Vec = typename Simd<T>::Vec;

template <class T>
constexpr int64_t lanes = EQUISHARE_VECTOR_BYTES / sizeof(T);

template <class T>
constexpr T infinity = T(__builtin_inf());

// log A where A has underflowed: finite, so that A log A is 0 and not 0 * inf.
template <class T>
constexpr T least_log = T(-1000);

template <class T>
EQUISHARE_INLINE Vec<T> exp_vec(Vec<T> x) {
  return exp_nonpositive<T, Vec<T>, typename Simd<T>::Bits>(x);
}

template <class T>
EQUISHARE_INLINE Vec<T> log_vec(Vec<T> x) {
  return log_from_one<T, Vec<T>, typename Simd<T>::Bits>(x);
}

template <class T>
EQUISHARE_INLINE T log_scalar(T x) {
  return log_from_one<T, T, typename Simd<T>::ScalarBits>(x);
}

// In both, a NaN in `a` is dropped; it comes back through exp(NaN - largest).
template <class V>
EQUISHARE_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}

template <class T>
EQUISHARE_INLINE Vec<T> at_least(Vec<T> x, T floor) {
  const Vec<T> low = Vec<T>() + floor;
  return x < low ? low : x;
}

// How much of a vector lies inside the row: all of it, or the first `count` lanes.
struct Full {};
struct Part {
  int64_t count;
};

template <class T>
EQUISHARE_INLINE Vec<T> load(const T* p, Full, T) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
EQUISHARE_INLINE void store(T* p, Vec<T> v, Full) {
  __builtin_memcpy(p, &v, sizeof v);
}

#ifdef __AVX512F__
EQUISHARE_INLINE Vec<float> load(const float* p, Part part, float fill) {
  return (Vec<float>)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (1u << part.count) - 1, p);
}
EQUISHARE_INLINE Vec<double> load(const double* p, Part part, double fill) {
  return (Vec<double>)_mm512_mask_loadu_pd(_mm512_set1_pd(fill), (1u << part.count) - 1, p);
}
EQUISHARE_INLINE void store(float* p, Vec<float> v, Part part) {
  _mm512_mask_storeu_ps(p, (1u << part.count) - 1, (__m512)v);
}
EQUISHARE_INLINE void store(double* p, Vec<double> v, Part part) {
  _mm512_mask_storeu_pd(p, (1u << part.count) - 1, (__m512d)v);
}
#else
template <class T>
EQUISHARE_INLINE Vec<T> load(const T* p, Part part, T fill) {
  Vec<T> v = Vec<T>() + fill;
  for (int64_t i = 0; i < lanes<T> - 1; ++i)
    if (i < part.count) v[i] = p[i];
  return v;
}
template <class T>
EQUISHARE_INLINE void store(T* p, Vec<T> v, Part part) {
  for (int64_t i = 0; i < lanes<T> - 1; ++i)
    if (i < part.count) p[i] = v[i];
}
#endif

EQUISHARE_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
EQUISHARE_INLINE double square_root(double x) { return __builtin_sqrt(x); }

template <class T>
EQUISHARE_INLINE Vec<T> sqrt_vec(Vec<T> v) {
  T entry[lanes<T>];
  __builtin_memcpy(entry, &v, sizeof v);
  for (int64_t i = 0; i < lanes<T>; ++i) entry[i] = square_root(entry[i]);
  return load(entry, Full{}, T(0));
}

template <class T, class Len>
EQUISHARE_INLINE void add_to(T* p, Vec<T> v, Len len) {
  store(p, load(p, len, T(0)) + v, len);
}

// Calls f(offset, Full or Part) over a row of `count` entries.
template <class T, class F>
EQUISHARE_INLINE void along_row(int64_t count, F f) {
  int64_t i = 0;
  for (; i + lanes<T> <= count; i += lanes<T>) f(i, Full{});
  if (i < count) f(i, Part{count - i});
}

// Pairwise, in a fixed order.
template <class T, class F>
EQUISHARE_INLINE T across(Vec<T> v, F combine) {
  T entry[lanes<T>];
  __builtin_memcpy(entry, &v, sizeof v);
#pragma GCC unroll 4
  for (int64_t half = lanes<T> / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int64_t i = 0; i < half; ++i) entry[i] = combine(entry[i], entry[i + half]);
  return entry[0];
}

template <class T>
EQUISHARE_INLINE T sum(Vec<T> v) {
  return across<T>(v, [](T a, T b) { return a + b; });
}

template <class T>
EQUISHARE_INLINE T largest(Vec<T> v) {
  return across<T>(v, [](T a, T b) { return a > b ? a : b; });
}

template <class T>
EQUISHARE_INLINE T largest_in_row(const T* row, int64_t count) {
  Vec<T> most = Vec<T>() - infinity<T>;
  along_row<T>(count,
               [&](int64_t g, auto len) { most = larger(load(row + g, len, -infinity<T>), most); });
  return largest<T>(most);
}

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

// Runs f(item) for all items, on the split's threads.
template <class F>
EQUISHARE_INLINE void for_items(const Split& split, F f) {
  if (split.threads == 1) {
    for (int64_t item = 0; item < split.items; ++item) f(item);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(split.threads)
  for (int64_t item = 0; item < split.items; ++item) f(item);
}

// Adds the chunks' partial sums in order: out[problem] (count) = sum over its items of
// partial[item].
template <class P, class T>
EQUISHARE_INLINE void add_partials(const Split& split, int64_t batch, int64_t count,
                                   const Scratch<P>& partial, T* out) {
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t j = 0; j < count; ++j) {
      P total = 0;
      for (int64_t c = 0; c < split.chunks; ++c) total += partial[b * split.chunks + c][j];
      out[b * count + j] = static_cast<T>(total);
    }
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
