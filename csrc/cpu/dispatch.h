// One table of kernels per instruction set; one of them is picked when the module is imported.
#pragma once

#include "args.h"

namespace equishare {

// The kernels of one element type; what each computes is said beside its arguments.
template <class T>
struct Kernels {
  void (*soft_gather)(const SoftGatherArgs<T>&);
  void (*soft_gather_backward)(const SoftGatherBackwardArgs<T>&);
  void (*soft_scatter)(const SoftScatterArgs<T>&);
  void (*penalties)(const PenaltiesArgs<T>&);
  void (*penalties_backward)(const PenaltiesBackwardArgs<T>&);
  void (*hard_gather)(const HardArgs<T>&);
  void (*hard_scatter)(const HardArgs<T>&);
  void (*shared_linear)(const SharedLinearArgs<T>&);
  void (*shared_linear_backward)(const SharedLinearBackwardArgs<T>&);
  void (*relax_forward)(const RelaxArgs<T>&);
  void (*relax_backward)(const RelaxBackwardArgs<T>&);
  int64_t (*relax_workspace)(const Shape&);
  int64_t (*relax_moments)(const Shape&);
};

struct InstructionSet {
  const char* name;
  Kernels<float> f32;
  Kernels<double> f64;
  LabelRange (*label_range)(const Labels&, int64_t count);
};

// Every instruction set that was compiled and that this processor and operating system can run,
// the plainest first. Returns how many.
int available_instruction_sets(const InstructionSet* (&sets)[3]);

// The last available one, or the one named by `forced`; throws std::runtime_error naming the
// accepted ones when `forced` is unknown or cannot run here. `forced` may be null.
const InstructionSet& pick_instruction_set(const char* forced);

}  // namespace equishare
