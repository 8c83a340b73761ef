// assignment_penalties: row entropy and column norm of A = softmax(logits), and their joint
// gradient; where values are given, theta = A values and its gradient in the same passes.
//
//   d entropy / d logit[k,g]     = -A (log A + H_k) / K,  H_k = -sum_g A log A
//   d column_norm / d logit[k,g] = A (A / n_g - sum_h A[k,h]^2 / n_h),  n_g = |A[:, g]|
//   u_k d theta_k / d logit[k,g] = A u_k (values[g] - theta_k)
#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// Rows whose second pass is made together, so that sums over rows are read and written once.
constexpr int together = 4;

template <class T, int count>
EQUISHARE_INLINE void add_squares(const T* e, int64_t groups, const T* scale, T* square) {
  along_row<T>(groups, [&](int64_t g, auto len) {
    Vec<T> total = load(square + g, len, T(0));
    for (int r = 0; r < count; ++r) {
      const Vec<T> a = load(e + r * groups + g, len, T(0)) * scale[r];
      total += a * a;
    }
    store(square + g, total, len);
  });
}

template <class T, bool joint>
void forward(const PenaltiesArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Scratch<T> squares(split.items, groups), exponentials(split.items, together * groups);
  const Scratch<double> entropy(split.items, 1);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item), end = split.end(item);
    T *square = squares[item], *e = exponentials[item];
    const T* values = joint ? args.values + b * groups : nullptr;
    fill_zero(square, groups);
    double item_entropy = 0;
    for (int64_t k = split.begin(item); k < end; k += together) {
      const int64_t count = end - k < together ? end - k : together;
      T scale[together];
      for (int64_t r = 0; r < count; ++r) {
        const int64_t row = b * rows + k + r;
        const T* logits = args.logits + row * groups;
        const T most = largest_in_row(logits, groups);
        const Vec<T> origin = origin_of(most);
        Vec<T> total = Vec<T>(), moment = Vec<T>(), weighted = Vec<T>();
        along_row<T>(groups, [&](int64_t g, auto len) {
          const Vec<T> t = depth_from<T>(load(logits + g, len, -infinity<T>), origin);
          const Vec<T> value = exp2_vec(t);
          total += value;
          moment += value * at_least(t, least_log2<T>);
          if (joint) weighted += value * load(values + g, len, T(0));
          store(e + r * groups + g, value, len);
        });
        const T size = sum<T>(total), log_size = log_scalar(size);
        scale[r] = T(1) / size;
        const T row_entropy = log_size - sum<T>(moment) * (ln_2<T> * scale[r]);
        if (joint) args.theta[row] = sum<T>(weighted) * scale[r];
        item_entropy += row_entropy;
        T* stats = args.stats + 3 * row;
        stats[0] = most;
        stats[1] = log_size;
        stats[2] = row_entropy;
      }
      if (count == together) {
        add_squares<T, together>(e, groups, scale, square);
      } else {
        for (int64_t r = 0; r < count; ++r)
          add_squares<T, 1>(e + r * groups, groups, scale + r, square);
      }
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

// What the gradient of one row needs; logits are in powers of two from here on.
template <class T>
struct Row {
  Vec<T> origin;
  T log2_size, entropy, u, theta, centre;
};

template <class T>
EQUISHARE_INLINE Vec<T> log2_assignment(Vec<T> logit, const Row<T>& row) {
  return depth_from<T>(logit, row.origin) - row.log2_size;
}

template <class T, bool joint, int count>
EQUISHARE_INLINE void slopes(const T* logits, const T* assignment, int64_t groups, const T* values,
                             const T* weight, const Row<T>* row, T entropy_weight, T* grad_logits,
                             T* grad_values) {
  along_row<T>(groups, [&](int64_t g, auto len) {
    const Vec<T> norm_weight = load(weight + g, len, T(0));
    Vec<T> value = Vec<T>(), along = Vec<T>();
    if (joint) {
      value = load(values + g, len, T(0));
      along = load(grad_values + g, len, T(0));
    }
    for (int r = 0; r < count; ++r) {
      const Vec<T> a = load(assignment + r * groups + g, len, T(0));
      const Vec<T> t = log2_assignment<T>(load(logits + r * groups + g, len, -infinity<T>), row[r]);
      Vec<T> slope = (at_least(t, least_log2<T>) * ln_2<T> + row[r].entropy) * entropy_weight +
                     (a * norm_weight - row[r].centre);
      if (joint) {
        slope += row[r].u * (value - row[r].theta);
        along += a * row[r].u;
      }
      store(grad_logits + r * groups + g, a * slope, len);
    }
    if (joint) store(grad_values + g, along, len);
  });
}

template <class T, bool joint>
void backward(const PenaltiesBackwardArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Scratch<T> assignments(split.items, together * groups), weights(split.items, groups);
  const Scratch<T> partial(joint ? split.items : 0, groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item), end = split.end(item);
    T *assignment = assignments[item], *weight = weights[item];
    const T* values = joint ? args.values + b * groups : nullptr;
    T* grad_values = joint ? partial[item] : nullptr;
    if (joint) fill_zero(grad_values, groups);
    const T entropy_weight = -args.entropy_weight[b] / static_cast<T>(rows);
    for (int64_t g = 0; g < groups; ++g) {
      const T norm = args.norms[b * groups + g];
      weight[g] = norm == 0 ? T(0) : args.column_norm_weight[b] / norm;
    }
    for (int64_t k = split.begin(item); k < end; k += together) {
      const int64_t first = b * rows + k, count = end - k < together ? end - k : together;
      const T* logits = args.logits + first * groups;
      T* grad_logits = args.grad_logits + first * groups;
      Row<T> row[together];
      for (int64_t r = 0; r < count; ++r) {
        const T* stats = args.stats + 3 * (first + r);
        row[r] = {origin_of(stats[0]), stats[1] * log2_e<T>, stats[2], T(0), T(0), T(0)};
        if (joint) {
          row[r].u = args.cotangent[first + r];
          row[r].theta = args.theta[first + r];
        }
        Vec<T> total = Vec<T>();
        along_row<T>(groups, [&](int64_t g, auto len) {
          const Vec<T> logit = load(logits + r * groups + g, len, -infinity<T>);
          const Vec<T> a = exp2_vec(log2_assignment<T>(logit, row[r]));
          total += a * a * load(weight + g, len, T(0));
          store(assignment + r * groups + g, a, len);
        });
        row[r].centre = sum<T>(total);
      }
      if (count == together) {
        slopes<T, joint, together>(logits, assignment, groups, values, weight, row, entropy_weight,
                                   grad_logits, grad_values);
      } else {
        for (int64_t r = 0; r < count; ++r)
          slopes<T, joint, 1>(logits + r * groups, assignment + r * groups, groups, values, weight,
                              row + r, entropy_weight, grad_logits + r * groups, grad_values);
      }
    }
  });
  if (joint) add_partials(split, batch, groups, partial, args.grad_values);
}

}  // namespace

template <class T>
void penalties(const PenaltiesArgs<T>& args) {
  args.values ? forward<T, true>(args) : forward<T, false>(args);
}

template <class T>
void penalties_backward(const PenaltiesBackwardArgs<T>& args) {
  args.values ? backward<T, true>(args) : backward<T, false>(args);
}

EQUISHARE_INSTANTIATE(penalties, PenaltiesArgs)
EQUISHARE_INSTANTIATE(penalties_backward, PenaltiesBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
