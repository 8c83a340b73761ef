// The kernels on CUDA devices: the twins of csrc/cpu, same names, same order. Plain C++, so that
// the binding needs no CUDA header.
//
// Every array is in device memory; labels are trusted, where those on the CPU check them. A kernel
// is queued and not waited for. Sums over rows are formed in two stages without atomics; how the
// work is cut depends on sizes and on whether pointers allow vector loads, never on the device, so
// equal arguments give equal bits.
#pragma once

#include "args.h"

namespace equishare::cuda {

// Where a kernel runs: a device, one of its streams (a cudaStream_t), and scratch memory of at
// least the bytes that `<kernel>_workspace` tells for the same sizes.
struct Queue {
  int device;
  void* stream;
  void* workspace;
};

template <class S>
void soft_gather(const SoftGatherArgs<S>& args, const Queue& queue);
template <class S>
void soft_gather_backward(const SoftGatherBackwardArgs<S>& args, const Queue& queue);
template <class S>
void soft_scatter(const SoftScatterArgs<S>& args, const Queue& queue);
template <class T>
void penalties(const PenaltiesArgs<T>& args, const Queue& queue);
template <class T>
void penalties_backward(const PenaltiesBackwardArgs<T>& args, const Queue& queue);
template <class S>
void hard_gather(const HardArgs<S>& args, const Queue& queue);
template <class S>
void hard_scatter(const HardArgs<S>& args, const Queue& queue);
template <class S>
void shared_linear(const SharedLinearArgs<S>& args, const Queue& queue);
template <class S>
void shared_linear_backward(const SharedLinearBackwardArgs<S>& args, const Queue& queue);
template <class T>
void relax_forward(const RelaxArgs<T>& args, const Queue& queue);
template <class T>
void relax_backward(const RelaxBackwardArgs<T>& args, const Queue& queue);
// Waits for the stream: the result is on the host.
LabelRange label_range(const Labels& labels, int64_t count, const Queue& queue);

// Entries of the relaxation's workspace and of its Adam moments. Their insides belong to the
// kernels, and differ from those on the CPU.
template <class T>
int64_t relax_workspace(const Shape& shape);
template <class T>
int64_t relax_moments(const Shape& shape);

// Bytes of Queue::workspace.
template <class S>
int64_t soft_gather_workspace(const Shape& shape);
template <class S>
int64_t soft_gather_backward_workspace(const Shape& shape);
template <class S>
int64_t soft_scatter_workspace(const Shape& shape);
template <class T>
int64_t penalties_workspace(const Shape& shape);
template <class T>
int64_t penalties_backward_workspace(const Shape& shape);
template <class S>
int64_t hard_gather_workspace(const Shape& shape);
template <class S>
int64_t hard_scatter_workspace(const Shape& shape);
template <class S>
int64_t shared_linear_workspace(int64_t samples, int64_t outputs, int64_t inputs, int64_t groups);
template <class S>
int64_t shared_linear_backward_workspace(int64_t samples, int64_t outputs, int64_t inputs,
                                         int64_t groups);
template <class T>
int64_t relax_forward_workspace(const Shape& shape);
template <class T>
int64_t relax_backward_workspace(const Shape& shape);
int64_t label_range_workspace();

}  // namespace equishare::cuda
