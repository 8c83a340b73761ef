// The table of this instruction set's kernels.
#include "cpu/dispatch.h"
#include "cpu/kernels.h"

#define EQUISHARE_TEXT_(name) #name
#define EQUISHARE_TEXT(name) EQUISHARE_TEXT_(name)
#define EQUISHARE_SHARING(S)                                                           \
  {soft_gather<S>,  soft_gather_backward<S>, soft_scatter<S>,          hard_gather<S>, \
   hard_scatter<S>, shared_linear<S>,        shared_linear_backward<S>}
#define EQUISHARE_SEARCH(T)                                                        \
  {penalties<T>,       penalties_backward<T>, relax_forward<T>, relax_backward<T>, \
   relax_workspace<T>, relax_moments<T>,      exp2_of<T>,       log_of<T>}

namespace equishare::EQUISHARE_ISA {

extern const InstructionSet instruction_set;
const InstructionSet instruction_set = {EQUISHARE_TEXT(EQUISHARE_ISA), EQUISHARE_SHARING(float),
                                        EQUISHARE_SHARING(double),     EQUISHARE_SHARING(bfloat16),
                                        EQUISHARE_SHARING(float16),    EQUISHARE_SEARCH(float),
                                        EQUISHARE_SEARCH(double),      label_range};

}  // namespace equishare::EQUISHARE_ISA
