// A kernel with all headers that the kernels of equishare include; see csrc/cuda.
#include "cuda/platform.cuh"

namespace {

template <class T>
__global__ void twice(T* values, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if constexpr (sizeof(T) == 4) {
    if (i < count) values[i] += values[i];
  }
}

}  // namespace

extern "C" void probe(float* values, int count) { twice<<<1, 32>>>(values, count); }
