// The two arrangements of the relaxation kernels, and where each keeps what backward needs.
//
//   rows   one problem at a time, vectors along the groups of a row
//   tiles  as many problems at a time as a vector has lanes: small problems, large batches
#pragma once

#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {

// Workspace of one problem (rows), or of one tile of `lanes` problems with every entry a vector
// (tiles): A (K, G), then per row (K, 3) largest logit, log-sum and entropy, then per group (G, 3)
// colsum, psi, norm.
static inline int64_t relax_state(const Shape& s) {
  return s.rows * s.groups + 3 * s.rows + 3 * s.groups;
}

// A tile and its logits should stay in the second-level cache.
template <class T>
static inline bool relax_in_tiles(const Shape& s) {
  return 2 * s.batch >= lanes<T> && s.rows * s.groups <= 1024;
}

template <class T>
static inline int64_t relax_tiles(const Shape& s) {
  return (s.batch + lanes<T> - 1) / lanes<T>;
}

template <class T>
void relax_forward_rows(const RelaxArgs<T>& args);
template <class T>
void relax_backward_rows(const RelaxBackwardArgs<T>& args);
template <class T>
void relax_forward_tiles(const RelaxArgs<T>& args);
template <class T>
void relax_backward_tiles(const RelaxBackwardArgs<T>& args);

namespace {

// One Adam step of a vector of parameters; returns the parameters after it.
template <class T, class Len>
EQUISHARE_INLINE Vec<T> adam_step(const RelaxBackwardArgs<T>& args, Vec<T> parameter,
                                  Vec<T> gradient, T* first, T* second, Len len) {
  const Vec<T> m = load(first, len, T(0)) * args.beta1 + gradient * (1 - args.beta1);
  const Vec<T> v = load(second, len, T(0)) * args.beta2 + gradient * gradient * (1 - args.beta2);
  store(first, m, len);
  store(second, v, len);
  const Vec<T> root = sqrt_vec<T>(v * (1 / args.correction2));
  return parameter - (args.rate / args.correction1) * m / (root + args.epsilon);
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
