// The table of this instruction set's kernels.
#include "cpu/dispatch.h"

#define EQUISHARE_TEXT_(name) #name
#define EQUISHARE_TEXT(name) EQUISHARE_TEXT_(name)

namespace equishare::EQUISHARE_ISA {

extern const Kernels kernels;
const Kernels kernels = {EQUISHARE_TEXT(EQUISHARE_ISA)};

}  // namespace equishare::EQUISHARE_ISA
