// The relaxation, one problem at a time. With A = softmax(logits), c = colsum A, psi = A^T x / c,
// theta = A psi, u = dU / dtheta, p = A^T u, q = p / c, n = column norms:
//
//   dA[k,g]     = u_k psi_g + q_g (x_k - psi_g) + column_norm_weight A[k,g] / n_g
//   dlogit[k,g] = A[k,g] (dA[k,g] - sum_h A[k,h] dA[k,h] - entropy_weight (log A[k,g] + H_k) / K)
#include "cpu/relax.h"

namespace equishare::EQUISHARE_ISA {

template <class T>
void relax_forward_rows(const RelaxArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, 1, batch * rows * groups, args.shape.threads);
  for_items(split, [&](int64_t b) {
    const T* x = args.x + b * rows;
    T* assignment = args.workspace + b * relax_state(args.shape);
    T* stats = assignment + rows * groups;
    T *colsum = stats + 3 * rows, *psi = colsum + groups, *norm = psi + groups;
    fill_zero(colsum, 3 * groups);
    T entropy = 0;
    for (int64_t k = 0; k < rows; ++k) {
      const T* logits = args.logits + (b * rows + k) * groups;
      T* a = assignment + k * groups;
      const T most = largest_in_row(logits, groups);
      Vec<T> total = Vec<T>(), moment = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> depth = load(logits + g, len, -infinity<T>) - most;
        const Vec<T> e = exp_of_depth(depth);
        total += e;
        moment += e * at_least(depth, least_log<T>);
        store(a + g, e, len);
      });
      const T size = sum<T>(total), scale = T(1) / size, log_size = log_scalar(size);
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> value = load(a + g, len, T(0)) * scale;
        store(a + g, value, len);
        add_to(colsum + g, value, len);
        add_to(psi + g, value * x[k], len);
        add_to(norm + g, value * value, len);
      });
      stats[3 * k] = most;
      stats[3 * k + 1] = log_size;
      stats[3 * k + 2] = log_size - sum<T>(moment) * scale;
      entropy += stats[3 * k + 2];
    }
    T norms = 0;
    for (int64_t g = 0; g < groups; ++g) {
      psi[g] = colsum[g] == 0 ? T(0) : psi[g] / colsum[g];
      norm[g] = square_root(norm[g]);
      norms += norm[g];
      args.psi[b * groups + g] = psi[g];
      args.colsum[b * groups + g] = colsum[g];
    }
    for (int64_t k = 0; k < rows; ++k) {
      Vec<T> total = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        total += load(assignment + k * groups + g, len, T(0)) * load(psi + g, len, T(0));
      });
      args.theta[b * rows + k] = sum<T>(total);
    }
    args.entropy[b] = entropy / static_cast<T>(rows);
    args.column_norm[b] = norms;
  });
}

template <class T>
void relax_backward_rows(const RelaxBackwardArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, 1, batch * rows * groups, args.shape.threads);
  const Scratch<T> scratch(split.items, 3 * groups);
  for_items(split, [&](int64_t b) {
    const T *x = args.x + b * rows, *u = args.theta_weight + b * rows;
    const T* assignment = args.workspace + b * relax_state(args.shape);
    const T* stats = assignment + rows * groups;
    const T *colsum = stats + 3 * rows, *psi = colsum + groups, *norm = psi + groups;
    T *q = scratch[b], *weight = q + groups, *slope = weight + groups;
    fill_zero(q, groups);
    for (int64_t k = 0; k < rows; ++k)
      along_row<T>(groups, [&](int64_t g, auto len) {
        add_to(q + g, load(assignment + k * groups + g, len, T(0)) * u[k], len);
      });
    for (int64_t g = 0; g < groups; ++g) {
      q[g] = colsum[g] == 0 ? T(0) : q[g] / colsum[g];
      weight[g] = norm[g] == 0 ? T(0) : args.column_norm_weight[b] / norm[g];
    }
    const T entropy_weight = args.entropy_weight[b] / static_cast<T>(rows);
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t row = (b * rows + k) * groups;
      const T* a = assignment + k * groups;
      const T shift = stats[3 * k], log_size = stats[3 * k + 1], entropy = stats[3 * k + 2];
      Vec<T> total = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> value = load(a + g, len, T(0)), level = load(psi + g, len, T(0));
        const Vec<T> s = u[k] * level + load(q + g, len, T(0)) * (x[k] - level) +
                         value * load(weight + g, len, T(0));
        total += value * s;
        store(slope + g, s, len);
      });
      const T centre = sum<T>(total);
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> logit = load(args.logits + row + g, len, -infinity<T>);
        const Vec<T> log_a = at_least(logit - shift - log_size, least_log<T>);
        const Vec<T> gradient = load(a + g, len, T(0)) * (load(slope + g, len, T(0)) - centre -
                                                          entropy_weight * (log_a + entropy));
        if (args.moments) {
          T* first = args.moments + row + g;
          T* second = first + batch * rows * groups;
          store(args.logits + row + g, adam_step(args, logit, gradient, first, second, len), len);
        } else {
          store(args.grad_logits + row + g, gradient, len);
        }
      });
    }
  });
}

EQUISHARE_INSTANTIATE(relax_forward_rows, RelaxArgs)
EQUISHARE_INSTANTIATE(relax_backward_rows, RelaxBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
