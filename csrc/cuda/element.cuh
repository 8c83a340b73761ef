// Elements: what is stored and what is computed with, packs of 16 bytes, exp and log.
//
// exp and log are CUDA's own, not the fast approximations: expf within 2 ulp, exp, log and logf
// within 1 ulp (CUDA C++ Programming Guide, mathematical functions). Divisions and square roots
// round correctly.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/platform.cuh"

namespace equishare::cuda {

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float square_root(float x) { return sqrtf(x); }
__device__ inline double square_root(double x) { return sqrt(x); }

template <class T>
constexpr T infinity = T(__builtin_inf());

// log A where A has underflowed: finite, so that A log A is 0 and not 0 * inf.
template <class T>
constexpr T least_log = T(-1000);

// In both, a NaN in `a` is dropped by `larger` and kept by `at_least`.
template <class T>
__device__ inline T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
__device__ inline T at_least(T a, T floor) {
  return a < floor ? floor : a;
}

template <class T>
__device__ inline T quotient_or_zero(T a, T b) {
  return b == 0 ? T(0) : a / b;
}

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(bfloat16 x) { return float_of(uint32_t(x.bits) << 16); }

template <class S>
__device__ inline S narrow(Arithmetic<S> x) {
  return x;
}
template <>
__device__ inline bfloat16 narrow<bfloat16>(float x) {
  const uint32_t bits = bits_of(x);
  if (x != x) return {uint16_t(0x7fc0)};
  return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
template <>
__device__ inline float16 narrow<float16>(float x) {
  return narrow_to_float16(x);
}

// Elements that one load brings: 16 bytes of them, or one where a row is not a whole number of
// packs or does not begin at a multiple of 16 bytes.
template <class S>
constexpr int pack_width = 16 / int(sizeof(S));

template <class S, int width>
struct alignas(sizeof(S) * width < 16 ? sizeof(S) * width : 16) Pack {
  S item[width];
};

template <int width, class S>
__device__ inline Pack<S, width> load_pack(const S* p) {
  return *reinterpret_cast<const Pack<S, width>*>(p);
}
template <int width, class S>
__device__ inline void store_pack(S* p, const Pack<S, width>& pack) {
  *reinterpret_cast<Pack<S, width>*>(p) = pack;
}

// Whether rows of `length` elements can be read in packs of 16 bytes.
template <class... P>
bool in_packs(int64_t length, const P*... rows) {
  const bool aligned[] = {reinterpret_cast<uintptr_t>(rows) % 16 == 0 ...};
  const bool whole[] = {length % pack_width<P> == 0 ...};
  for (const bool x : aligned)
    if (!x) return false;
  for (const bool x : whole)
    if (!x) return false;
  return true;
}

// f(width) with the width as a type: packs if that is possible, else single elements.
template <class S, class F>
void with_width(bool packs, F f) {
  if (packs)
    f(std::integral_constant<int, pack_width<S>>{});
  else
    f(std::integral_constant<int, 1>{});
}

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The least power of two that is not below n, within [least, most], which are powers of two.
inline int power_of_two(int64_t n, int least, int most) {
  int power = least;
  while (power < n && power < most) power *= 2;
  return power;
}

// Scratch memory handed out piece by piece; over a null base it measures.
class Scratch {
 public:
  explicit Scratch(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}
  template <class T>
  T* take(int64_t count) {
    const int64_t begin = used_;
    used_ += divide_up(count * int64_t(sizeof(T)), 256) * 256;
    return reinterpret_cast<T*>(base_ + uintptr_t(begin));
  }
  int64_t used() const { return used_; }

 private:
  uintptr_t base_;
  int64_t used_ = 0;
};

// Blocks of 256 threads that should fit on a multiprocessor: as many as leave each thread the
// registers it needs, so that nothing spills. `sums`: values that a thread keeps for itself.
template <class A>
constexpr int resident_blocks(int sums) {
  return sizeof(A) == 8 || sums > 8 ? 1 : sums >= 4 ? 2 : 3;
}

// Of a grid; kernels stride over what is beyond.
inline int64_t at_most_blocks(int64_t blocks) {
  return blocks < most_blocks ? blocks : most_blocks;
}

}  // namespace equishare::cuda
