// assignment_penalties: row entropy and column norm of A = softmax(logits), and their joint
// gradient.
//
//   d entropy / d logit[k,g]     = -A (log A + H_k) / K,  H_k = -sum_g A log A
//   d column_norm / d logit[k,g] = A (A / n_g - sum_h A[k,h]^2 / n_h),  n_g = |A[:, g]|
#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {

template <class T>
void penalties(const PenaltiesArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Scratch<T> squares(split.items, groups), exponentials(split.items, groups);
  const Scratch<double> entropy(split.items, 1);
  for_items(split, [&](int64_t item) {
    T *square = squares[item], *e = exponentials[item];
    fill_zero(square, groups);
    double item_entropy = 0;
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = split.problem(item) * rows + k;
      const T* logits = args.logits + row * groups;
      const T most = largest_in_row(logits, groups);
      Vec<T> total = Vec<T>(), moment = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> depth = load(logits + g, len, -infinity<T>) - most;
        const Vec<T> value = exp_vec<T>(depth);
        total += value;
        moment += value * at_least(depth, least_log<T>);
        store(e + g, value, len);
      });
      const T size = sum<T>(total), scale = T(1) / size, log_size = log_scalar(size);
      const T row_entropy = log_size - sum<T>(moment) * scale;
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> a = load(e + g, len, T(0)) * scale;
        add_to(square + g, a * a, len);
      });
      item_entropy += row_entropy;
      T* stats = args.stats + 3 * row;
      stats[0] = most;
      stats[1] = log_size;
      stats[2] = row_entropy;
    }
    *entropy[item] = item_entropy;
  });
  add_partials(split, batch, 1, entropy, args.entropy);
  add_partials(split, batch, groups, squares, args.norms);
  for (int64_t b = 0; b < batch; ++b) {
    T total = 0;
    for (int64_t g = 0; g < groups; ++g) {
      T& norm = args.norms[b * groups + g];
      norm = square_root(norm);
      total += norm;
    }
    args.column_norm[b] = total;
    args.entropy[b] /= static_cast<T>(rows);
  }
}

template <class T>
void penalties_backward(const PenaltiesBackwardArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Scratch<T> assignments(split.items, groups), weights(split.items, groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    T *assignment = assignments[item], *weight = weights[item];
    const T entropy_weight = -args.entropy_weight[b] / static_cast<T>(rows);
    for (int64_t g = 0; g < groups; ++g) {
      const T norm = args.norms[b * groups + g];
      weight[g] = norm == 0 ? T(0) : args.column_norm_weight[b] / norm;
    }
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const T* logits = args.logits + row * groups;
      const T most = args.stats[3 * row], log_size = args.stats[3 * row + 1];
      const T entropy = args.stats[3 * row + 2];
      Vec<T> total = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> a = exp_vec<T>(load(logits + g, len, -infinity<T>) - most - log_size);
        total += a * a * load(weight + g, len, T(0));
        store(assignment + g, a, len);
      });
      const T centre = sum<T>(total);
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> a = load(assignment + g, len, T(0));
        const Vec<T> depth = load(logits + g, len, -infinity<T>) - most - log_size;
        const Vec<T> slope = entropy_weight * (at_least(depth, least_log<T>) + entropy) +
                             (a * load(weight + g, len, T(0)) - centre);
        store(args.grad_logits + row * groups + g, a * slope, len);
      });
    }
  });
}

EQUISHARE_INSTANTIATE(penalties, PenaltiesArgs)
EQUISHARE_INSTANTIATE(penalties_backward, PenaltiesBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
