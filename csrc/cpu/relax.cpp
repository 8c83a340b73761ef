// Picks the arrangement of the relaxation kernels; the same choice serves forward and backward.
#include "cpu/relax.h"

namespace equishare::EQUISHARE_ISA {

template <class T>
void relax_forward(const RelaxArgs<T>& args) {
  fits_tiles<T>(args.shape) ? relax_forward_tiles(args) : relax_forward_rows(args);
}

template <class T>
void relax_backward(const RelaxBackwardArgs<T>& args) {
  fits_tiles<T>(args.shape) ? relax_backward_tiles(args) : relax_backward_rows(args);
}

template <class T>
int64_t relax_workspace(const Shape& shape) {
  return relax_state(shape) *
         (fits_tiles<T>(shape) ? tile_count<T>(shape) * lanes<T> : shape.batch);
}

template <class T>
int64_t relax_moments(const Shape& shape) {
  return 2 * shape.rows * shape.groups *
         (fits_tiles<T>(shape) ? tile_count<T>(shape) * lanes<T> : shape.batch);
}

EQUISHARE_INSTANTIATE(relax_forward, RelaxArgs)
EQUISHARE_INSTANTIATE(relax_backward, RelaxBackwardArgs)
template int64_t relax_workspace<float>(const Shape&);
template int64_t relax_workspace<double>(const Shape&);
template int64_t relax_moments<float>(const Shape&);
template int64_t relax_moments<double>(const Shape&);

}  // namespace equishare::EQUISHARE_ISA
