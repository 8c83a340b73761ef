// The table of this instruction set's kernels.
#include "cpu/dispatch.h"
#include "cpu/kernels.h"

#define EQUISHARE_TEXT_(name) #name
#define EQUISHARE_TEXT(name) EQUISHARE_TEXT_(name)
#define EQUISHARE_KERNELS(T)                                             \
  {soft_gather<T>,   soft_gather_backward<T>, soft_scatter<T>,           \
   penalties<T>,     penalties_backward<T>,   hard_gather<T>,            \
   hard_scatter<T>,  shared_linear<T>,        shared_linear_backward<T>, \
   relax_forward<T>, relax_backward<T>,       relax_workspace<T>,        \
   relax_moments<T>}

namespace equishare::EQUISHARE_ISA {

extern const InstructionSet instruction_set;
const InstructionSet instruction_set = {EQUISHARE_TEXT(EQUISHARE_ISA), EQUISHARE_KERNELS(float),
                                        EQUISHARE_KERNELS(double), label_range};

}  // namespace equishare::EQUISHARE_ISA
