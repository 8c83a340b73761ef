// The emulation's answer to csrc/cuda/platform.cuh: the same names, on the CPU.
#pragma once

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cuda/kernels.h"
#include "emulation.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after another
#define threadIdx (::emulation::self().index)
#define blockIdx (::emulation::block_index)
#define blockDim (::emulation::block_size)
#define gridDim (::emulation::grid_size)

#define EMULATION_SITE (::emulation::Site{__FILE__, __LINE__})
#define __syncthreads() ::emulation::sync_threads(EMULATION_SITE)
#define __syncwarp() ::emulation::sync_warp(EMULATION_SITE)
#define __shfl_sync(mask, value, lane) \
  ::emulation::shuffle(EMULATION_SITE, mask, value, (lane) % ::emulation::warp_size)
#define __shfl_xor_sync(mask, value, lanes) \
  ::emulation::shuffle(EMULATION_SITE, mask, value, ::emulation::lane() ^ int(lanes))
#define __shfl_down_sync(mask, value, lanes) \
  ::emulation::shuffle(EMULATION_SITE, mask, value, ::emulation::lane() + int(lanes))
#define __shfl_up_sync(mask, value, lanes) \
  ::emulation::shuffle(EMULATION_SITE, mask, value, ::emulation::lane() - int(lanes))
#define __ballot_sync(mask, predicate) ::emulation::ballot(EMULATION_SITE, mask, predicate)
#define __any_sync(mask, predicate) (::emulation::ballot(EMULATION_SITE, mask, predicate) != 0)
#define __all_sync(mask, predicate) \
  (::emulation::ballot(EMULATION_SITE, mask, predicate) == 0xffffffffu)
#define __match_any_sync(mask, value) ::emulation::match_any(EMULATION_SITE, mask, value)

namespace emulation {

inline unsigned ballot(Site site, unsigned mask, bool predicate) {
  require_all_lanes(mask);
  const uint64_t* slots = gather(site, predicate);
  unsigned lanes = 0;
  for (int i = 0; i < warp_size; ++i) lanes |= unsigned(slots[i] != 0) << i;
  return lanes;
}

template <class T>
unsigned match_any(Site site, unsigned mask, T value) {
  require_all_lanes(mask);
  const uint64_t* slots = gather(site, to_slot(value));
  unsigned lanes = 0;
  for (int i = 0; i < warp_size; ++i) lanes |= unsigned(slots[i] == to_slot(value)) << i;
  return lanes;
}

}  // namespace emulation

inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }

namespace equishare::cuda {

inline int64_t& most_blocks = emulation::most_blocks_used;
constexpr int64_t panel_entries = 256;  // so that small tests have several panels

struct Grid {
  int64_t blocks;
  int threads;
  int64_t shared_bytes = 0;
};

struct DeviceGuard {
  explicit DeviceGuard(int) {}
  ~DeviceGuard() {}
};

template <class P>
struct As {
  using type = P;
};

template <class... P>
void launch(const char* name, void (*kernel)(P...), const Grid& grid, const Queue&,
            typename As<P>::type... args) {
  if (grid.blocks == 0) return;
  emulation::run(name, grid.blocks, grid.threads, grid.shared_bytes, [&] { kernel(args...); });
}

inline void copy_to_host(void* to, const void* from, int64_t bytes, const Queue&) {
  std::memcpy(to, from, size_t(bytes));
}

inline void fill_zero(void* at, int64_t bytes, const Queue&) { std::memset(at, 0, size_t(bytes)); }

inline unsigned char* shared_memory() { return emulation::dynamic_shared; }

inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline float widen(float16 x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31;
  const uint32_t mantissa = x.bits & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13);
  const float size = exponent ? std::ldexp(float(mantissa + 1024), int(exponent) - 25)
                              : std::ldexp(float(mantissa), -24);
  return sign ? -size : size;
}

// To nearest, ties to even: nearbyint does it once the spacing of halves around x is one.
inline float16 narrow_to_float16(float x) {
  const uint16_t sign = uint16_t(bits_of(x) >> 16 & 0x8000);
  if (x != x) return {uint16_t(sign | 0x7e00)};
  const float size = std::fabs(x);
  if (size >= 65520.0f) return {uint16_t(sign | 0x7c00)};
  int exponent = 0;
  std::frexp(size, &exponent);
  if (exponent < -13 || size == 0) exponent = -13;
  const uint32_t steps = uint32_t(std::nearbyint(std::ldexp(size, 11 - exponent)));
  // Of a normal half: steps in [1024, 2048], biased exponent (exponent + 14) a step of 1024 each.
  return {uint16_t(sign | (steps + uint32_t(exponent + 13) * 1024))};
}

}  // namespace equishare::cuda
