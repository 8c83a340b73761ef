// One table of kernels per instruction set; one of them is picked when the module is imported.
#pragma once

#include "args.h"

namespace equishare {

// The kernels of one storage type; what each computes is said beside its arguments.
template <class S>
struct SharingKernels {
  void (*soft_gather)(const SoftGatherArgs<S>&);
  void (*soft_gather_backward)(const SoftGatherBackwardArgs<S>&);
  void (*soft_scatter)(const SoftScatterArgs<S>&);
  bool (*hard_gather)(const HardArgs<S>&);
  bool (*hard_scatter)(const HardArgs<S>&);
  bool (*shared_linear)(const SharedLinearArgs<S>&);
  bool (*shared_linear_backward)(const SharedLinearBackwardArgs<S>&);
};

// Those that need the precision they compute in.
template <class T>
struct SearchKernels {
  void (*penalties)(const PenaltiesArgs<T>&);
  void (*penalties_backward)(const PenaltiesBackwardArgs<T>&);
  void (*relax_forward)(const RelaxArgs<T>&);
  void (*relax_backward)(const RelaxBackwardArgs<T>&);
  int64_t (*relax_workspace)(const Shape&);
  int64_t (*relax_moments)(const Shape&);
  void (*exp)(const FunctionArgs<T>&);
  void (*log)(const FunctionArgs<T>&);
};

struct InstructionSet {
  const char* name;
  SharingKernels<float> f32;
  SharingKernels<double> f64;
  SharingKernels<bfloat16> bf16;
  SharingKernels<float16> f16;
  SearchKernels<float> search_f32;
  SearchKernels<double> search_f64;
  LabelRange (*label_range)(const Labels&, int64_t count);
};

// Every instruction set that was compiled and that this processor and operating system can run,
// the plainest first. Returns how many.
int available_instruction_sets(const InstructionSet* (&sets)[3]);

// The last available one, or the one named by `forced`; throws std::runtime_error naming the
// accepted ones when `forced` is unknown or cannot run here. `forced` may be null.
const InstructionSet& pick_instruction_set(const char* forced);

}  // namespace equishare
