// Small kernels for the tests of the emulation itself.
#include "cuda/platform.cuh"

namespace {

using equishare::cuda::launch;
using equishare::cuda::Queue;

constexpr unsigned all = 0xffffffffu;

// Per thread: shuffles of its own index, then votes.
__global__ void warp_functions(int64_t* out) {
  const int t = int(threadIdx.x);
  int64_t* const row = out + 8 * (blockIdx.x * blockDim.x + t);
  row[0] = __shfl_sync(all, t, 5);
  row[1] = __shfl_xor_sync(all, t, 3);
  row[2] = __shfl_down_sync(all, t, 2);
  row[3] = __shfl_up_sync(all, t, 2);
  row[4] = __ballot_sync(all, t % 3 == 0);
  row[5] = __any_sync(all, t == 40);
  row[6] = __all_sync(all, t >= 32);
  row[7] = __match_any_sync(all, t % 4);
}

// Reverses each block through shared memory.
__global__ void reverse(const double* in, double* out) {
  double* const shared = reinterpret_cast<double*>(equishare::cuda::shared_memory());
  const unsigned first = blockIdx.x * blockDim.x;
  shared[threadIdx.x] = in[first + threadIdx.x];
  __syncthreads();
  out[first + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void some_never_come(int) {
  if (threadIdx.x < 40) __syncthreads();
}

__global__ void different_barriers(int) {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void part_of_a_warp(int) { __shfl_sync(0xffffu, int(threadIdx.x), 0); }

__global__ void unwritten(float* out) {
  out[threadIdx.x] = reinterpret_cast<float*>(equishare::cuda::shared_memory())[threadIdx.x];
}

template <class Call>
const char* message_of(Call call) {
  static std::string message;
  try {
    call();
    return "";
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

}  // namespace

extern "C" {

void probe_warp_functions(int64_t* out, int64_t blocks, int threads) {
  launch("warp_functions", &warp_functions, {blocks, threads}, Queue{}, out);
}

void probe_reverse(const double* in, double* out, int64_t blocks, int threads) {
  launch("reverse", &reverse, {blocks, threads, threads * 8}, Queue{}, in, out);
}

void probe_unwritten(float* out) { launch("unwritten", &unwritten, {1, 32, 128}, Queue{}, out); }

const char* probe_failure(int kind, int64_t blocks, int threads, int64_t shared) {
  void (*const kernels[])(int) = {&some_never_come, &different_barriers, &part_of_a_warp};
  return message_of([&] { launch("probe", kernels[kind], {blocks, threads, shared}, Queue{}, 0); });
}

void probe_halves(const uint16_t* in, uint16_t* out, const float* from, int64_t count) {
  using namespace equishare;
  for (int64_t i = 0; i < count; ++i)
    out[i] = cuda::narrow_to_float16(from ? from[i] : cuda::widen(float16{in[i]})).bits;
}
}
