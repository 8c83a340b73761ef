// The table of this instruction set's kernels.
#include "cpu/dispatch.h"
#include "cpu/kernels.h"

#define EQUISHARE_TEXT_(name) #name
#define EQUISHARE_TEXT(name) EQUISHARE_TEXT_(name)

namespace equishare::EQUISHARE_ISA {
namespace {

template <class S>
constexpr SharingKernels<S> sharing = {
    .soft_gather = soft_gather<S>,
    .soft_gather_backward = soft_gather_backward<S>,
    .soft_scatter = soft_scatter<S>,
    .hard_gather = hard_gather<S>,
    .hard_scatter = hard_scatter<S>,
    .shared_linear = shared_linear<S>,
    .shared_linear_backward = shared_linear_backward<S>,
};

template <class T>
constexpr SearchKernels<T> search = {
    .penalties = penalties<T>,
    .penalties_backward = penalties_backward<T>,
    .relax_forward = relax_forward<T>,
    .relax_backward = relax_backward<T>,
    .relax_workspace = relax_workspace<T>,
    .relax_moments = relax_moments<T>,
    .exp = exp_of<T>,
    .log = log_of<T>,
};

}  // namespace

extern const InstructionSet instruction_set;
const InstructionSet instruction_set = {
    .name = EQUISHARE_TEXT(EQUISHARE_ISA),
    .f32 = sharing<float>,
    .f64 = sharing<double>,
    .bf16 = sharing<bfloat16>,
    .f16 = sharing<float16>,
    .search_f32 = search<float>,
    .search_f64 = search<double>,
    .label_range = label_range,
};

}  // namespace equishare::EQUISHARE_ISA
