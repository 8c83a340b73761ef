// soft_gather, its backward and soft_scatter: A = softmax of each row of logits, never stored.
// Layouts: args.h. Each row of logits is read from memory once.
#include "cpu/soft.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// Rows of at least a vector fill the lanes by themselves.
template <class S>
bool in_tiles(const Shape& shape) {
  return fits_tiles<Arithmetic<S>>(shape) && shape.groups < lanes<Arithmetic<S>>;
}

}  // namespace

template <class S>
void soft_gather(const SoftGatherArgs<S>& args) {
  if (args.shape.columns != 1) return soft_gather_columns(args);
  in_tiles<S>(args.shape) ? soft_gather_tiles(args) : soft_gather_rows(args);
}

template <class S>
void soft_gather_backward(const SoftGatherBackwardArgs<S>& args) {
  if (args.shape.columns != 1) return soft_gather_backward_columns(args);
  in_tiles<S>(args.shape) ? soft_gather_backward_tiles(args) : soft_gather_backward_rows(args);
}

template <class S>
void soft_scatter(const SoftScatterArgs<S>& args) {
  args.shape.columns != 1 ? soft_scatter_columns(args) : soft_scatter_rows(args);
}

EQUISHARE_INSTANTIATE_STORAGE(soft_gather, SoftGatherArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_gather_backward, SoftGatherBackwardArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_scatter, SoftScatterArgs)

}  // namespace equishare::EQUISHARE_ISA
