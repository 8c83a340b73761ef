// Every kernel of one instruction set; EQUISHARE_ISA names its namespace.
#pragma once

#include "args.h"

namespace equishare::EQUISHARE_ISA {

template <class S>
void soft_gather(const SoftGatherArgs<S>& args);
template <class S>
void soft_gather_backward(const SoftGatherBackwardArgs<S>& args);
template <class S>
void soft_scatter(const SoftScatterArgs<S>& args);
template <class T>
void penalties(const PenaltiesArgs<T>& args);
template <class T>
void penalties_backward(const PenaltiesBackwardArgs<T>& args);
// Those that read labels return false, and leave the output undefined, if one is out of range.
template <class S>
bool hard_gather(const HardArgs<S>& args);
template <class S>
bool hard_scatter(const HardArgs<S>& args);
template <class S>
bool shared_linear(const SharedLinearArgs<S>& args);
template <class S>
bool shared_linear_backward(const SharedLinearBackwardArgs<S>& args);
template <class T>
void relax_forward(const RelaxArgs<T>& args);
template <class T>
void relax_backward(const RelaxBackwardArgs<T>& args);
// Entries of the relaxation's workspace and of its Adam moments. Their insides belong to the
// kernels.
template <class T>
int64_t relax_workspace(const Shape& shape);
template <class T>
int64_t relax_moments(const Shape& shape);
template <class T>
void exp_of(const FunctionArgs<T>& args);
template <class T>
void log_of(const FunctionArgs<T>& args);
LabelRange label_range(const Labels& labels, int64_t count);

}  // namespace equishare::EQUISHARE_ISA

#define EQUISHARE_INSTANTIATE(kernel, Args)      \
  template void kernel(const Args<float>& args); \
  template void kernel(const Args<double>& args);
#define EQUISHARE_INSTANTIATE_STORAGE(kernel, Args) \
  EQUISHARE_INSTANTIATE(kernel, Args)               \
  template void kernel(const Args<bfloat16>& args); \
  template void kernel(const Args<float16>& args);
#define EQUISHARE_INSTANTIATE_CHECKED(kernel, Args) \
  template bool kernel(const Args<float>& args);    \
  template bool kernel(const Args<double>& args);   \
  template bool kernel(const Args<bfloat16>& args); \
  template bool kernel(const Args<float16>& args);
