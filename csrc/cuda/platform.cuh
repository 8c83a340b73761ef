// All that the kernels ask of CUDA beyond the language: starting a kernel, dynamic shared memory,
// the device in use, half precision. Tests compile the same kernels against another file of this
// name, in which the threads of a block run on the CPU.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/kernels.h"

namespace equishare::cuda {

constexpr int64_t most_blocks = 1 << 30;    // of a grid
constexpr int64_t panel_entries = 1 << 20;  // of a product that is formed a part at a time

struct Grid {
  int64_t blocks;
  int threads;
  int64_t shared_bytes = 0;
};

inline void require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // torch would report it a second time, as its own
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

// Makes a device the current one, and gives back the one before it.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    require(cudaGetDevice(&before_), "cudaGetDevice");
    changed_ = device != before_;
    if (changed_) require(cudaSetDevice(device), "cudaSetDevice");
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(before_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

template <class P>
struct As {
  using type = P;
};

// Queues a kernel; no blocks is no launch. Errors name the kernel.
template <class... P>
void launch(const char* name, void (*kernel)(P...), const Grid& grid, const Queue& queue,
            typename As<P>::type... args) {
  if (grid.blocks == 0) return;
  void* addresses[] = {&args...};
  require(cudaLaunchKernel(
              reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(grid.blocks)),
              dim3(static_cast<unsigned>(grid.threads)), addresses,
              static_cast<size_t>(grid.shared_bytes), static_cast<cudaStream_t>(queue.stream)),
          name);
}

inline void copy_to_host(void* to, const void* from, int64_t bytes, const Queue& queue) {
  const auto stream = static_cast<cudaStream_t>(queue.stream);
  require(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream),
          "cudaMemcpyAsync");
  require(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

inline void fill_zero(void* at, int64_t bytes, const Queue& queue) {
  if (bytes == 0) return;
  require(
      cudaMemsetAsync(at, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(queue.stream)),
      "cudaMemsetAsync");
}

// The dynamic shared memory of the block, aligned to 16 bytes.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char equishare_shared_memory[];
  return equishare_shared_memory;
}

__device__ inline float widen(float16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}

// To nearest, ties to even, as torch does.
__device__ inline float16 narrow_to_float16(float x) {
  float16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}

__device__ inline uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ inline float float_of(uint32_t bits) { return __uint_as_float(bits); }

}  // namespace equishare::cuda
