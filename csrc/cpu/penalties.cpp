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

// Sums over one row.
template <class T>
struct Sums {
  Vec<T> total = Vec<T>(), moment = Vec<T>(), weighted = Vec<T>();
};

// Sums of a row, and its exponentials.
template <class T, bool joint>
EQUISHARE_INLINE void measure(const T* logits, const T* values, int64_t width, T largest,
                              Sums<T>& sums, T* exponentials) {
  Sums<T> s = sums;
  along_row<T>(width, [&](int64_t g, auto len) {
    const Vec<T> depth = load(logits + g, len, -infinity<T>) - largest, e = exp_of_depth(depth);
    store(exponentials + g, e, len);
    s.total += e;
    s.moment += e * at_least(depth, least_log<T>);
    if (joint) s.weighted += e * load(values + g, len, T(0));
  });
  sums = s;
}

// sum A value from the assignments themselves, where that of the exponentials overflows.
template <class T>
[[gnu::noinline]] T mean_of(const T* exponentials, const T* values, int64_t groups, T scale) {
  Vec<T> total = Vec<T>();
  along_row<T>(groups, [&](int64_t g, auto len) {
    total += load(exponentials + g, len, T(0)) * scale * load(values + g, len, T(0));
  });
  return sum<T>(total);
}

// Adds A^2 of `count` rows that lie `stride` apart.
template <class T, int count>
EQUISHARE_INLINE void add_squares(const T* exponentials, int64_t width, int64_t stride,
                                  const T* scale, T* square) {
  along_row<T>(width, [&](int64_t g, auto len) {
    Vec<T> total = load(square + g, len, T(0));
    for (int r = 0; r < count; ++r) {
      const Vec<T> a = load(exponentials + r * stride + g, len, T(0)) * scale[r];
      total += a * a;
    }
    store(square + g, total, len);
  });
}

template <class T, bool joint>
void forward(const PenaltiesArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const int64_t step = rows_in_block<T>(groups);
  const Scratch<T> squares(split.items, groups), kept(split.threads, step * groups);
  const Scratch<double> entropy(split.items, 1);
  for_items_on_threads(split, [&](int64_t item, int thread) {
    const int64_t b = split.problem(item), end = split.end(item);
    T *square = squares[item], *exponentials = kept[thread];
    const T* values = joint ? args.values + b * groups : nullptr;
    fill_zero(square, groups);
    double item_entropy = 0;
    for (int64_t k = split.begin(item); k < end; k += step) {
      const int64_t first = b * rows + k, count = end - k < step ? end - k : step;
      const T* logits = args.logits + first * groups;
      Sums<T> sums[together];
      T most[together], scale[together];
      for (int64_t r = 0; r < count; ++r) most[r] = largest_in_row(logits + r * groups, groups);
      for_pieces(groups, [&](int64_t g, int64_t width) {
        for (int64_t r = 0; r < count; ++r)
          measure<T, joint>(logits + r * groups + g, joint ? values + g : nullptr, width, most[r],
                            sums[r], exponentials + r * groups + g);
      });
      for (int64_t r = 0; r < count; ++r) {
        const T size = sum<T>(sums[r].total), log_size = log_scalar(size);
        scale[r] = T(1) / size;
        const T row_entropy = log_size - sum<T>(sums[r].moment) * scale[r];
        if (joint) {
          const T weighted = sum<T>(sums[r].weighted);
          args.theta[first + r] = weighted - weighted == 0 ? weighted * scale[r]
                                                           : mean_of<T>(exponentials + r * groups,
                                                                        values, groups, scale[r]);
        }
        item_entropy += row_entropy;
        args.stats[3 * (first + r)] = most[r];
        args.stats[3 * (first + r) + 1] = log_size;
        args.stats[3 * (first + r) + 2] = row_entropy;
      }
      if (count == together && is_short<T>(groups)) {
        add_squares<T, together>(exponentials, groups, groups, scale, square);
        continue;
      }
      for_pieces(groups, [&](int64_t g, int64_t width) {
        for (int64_t r = 0; r < count; ++r)
          add_squares<T, 1>(exponentials + r * groups + g, width, groups, scale + r, square + g);
      });
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

// What the gradient of one row needs.
template <class T>
struct Row {
  Vec<T> total;
  T largest, log_size, entropy, u, theta, centre;

  // log A. The largest logit is taken off first: beside a large one, log_size would be lost.
  template <class Len>
  Vec<T> log_assignment(const T* logit, Len len) const {
    return (load(logit, len, -infinity<T>) - largest) - log_size;
  }
};

// Gradient of the logits of `count` rows that lie `stride` apart, in place of A; their share of the
// gradient of the values is added.
template <class T, bool joint, int count>
EQUISHARE_INLINE void slopes(const T* logits, const T* values, const T* weight, int64_t width,
                             int64_t stride, const Row<T>* row, T entropy_weight, T* grad_logits,
                             T* grad_values) {
  along_row<T>(width, [&](int64_t g, auto len) {
    const Vec<T> norm_weight = load(weight + g, len, T(0));
    Vec<T> value = Vec<T>(), along = Vec<T>();
    if (joint) {
      value = load(values + g, len, T(0));
      along = load(grad_values + g, len, T(0));
    }
    for (int r = 0; r < count; ++r) {
      const Vec<T> log_a = row[r].log_assignment(logits + r * stride + g, len);
      const Vec<T> a = load(grad_logits + r * stride + g, len, T(0));
      Vec<T> slope = (at_least(log_a, least_log<T>) + row[r].entropy) * entropy_weight +
                     (a * norm_weight - row[r].centre);
      if (joint) {
        slope += row[r].u * (value - row[r].theta);
        along += a * row[r].u;
      }
      store(grad_logits + r * stride + g, a * slope, len);
    }
    if (joint) store(grad_values + g, along, len);
  });
}

template <class T, bool joint>
void backward(const PenaltiesBackwardArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const int64_t step = rows_in_block<T>(groups);
  const Scratch<T> weights(split.threads, groups);
  const Scratch<T> partial(joint ? split.items : 0, groups);
  for_items_on_threads(split, [&](int64_t item, int thread) {
    const int64_t b = split.problem(item), end = split.end(item);
    T* weight = weights[thread];
    const T* values = joint ? args.values + b * groups : nullptr;
    T* grad_values = joint ? partial[item] : nullptr;
    if (joint) fill_zero(grad_values, groups);
    const T entropy_weight = -args.entropy_weight[b] / static_cast<T>(rows);
    for (int64_t g = 0; g < groups; ++g) {
      const T norm = args.norms[b * groups + g];
      weight[g] = norm == 0 ? T(0) : args.column_norm_weight[b] / norm;
    }
    for (int64_t k = split.begin(item); k < end; k += step) {
      const int64_t first = b * rows + k, count = end - k < step ? end - k : step;
      const T* logits = args.logits + first * groups;
      T* grad_logits = args.grad_logits + first * groups;
      Row<T> row[together];
      for (int64_t r = 0; r < count; ++r) {
        const T* stats = args.stats + 3 * (first + r);
        row[r] = {Vec<T>(), stats[0], stats[1], stats[2], T(0), T(0), T(0)};
        if (joint) {
          row[r].u = args.cotangent[first + r];
          row[r].theta = args.theta[first + r];
        }
      }
      for_pieces(groups, [&](int64_t g, int64_t width) {
        for (int64_t r = 0; r < count; ++r) {
          const Row<T> own = row[r];
          Vec<T> total = own.total;
          along_row<T>(width, [&](int64_t i, auto len) {
            const int64_t at = r * groups + g + i;
            const Vec<T> a = exp_of_depth(own.log_assignment(logits + at, len));
            store(grad_logits + at, a, len);
            total += a * a * load(weight + g + i, len, T(0));
          });
          row[r].total = total;
        }
      });
      for (int64_t r = 0; r < count; ++r) row[r].centre = sum<T>(row[r].total);
      if (count == together && is_short<T>(groups)) {
        slopes<T, joint, together>(logits, values, weight, groups, groups, row, entropy_weight,
                                   grad_logits, grad_values);
        continue;
      }
      for_pieces(groups, [&](int64_t g, int64_t width) {
        for (int64_t r = 0; r < count; ++r)
          slopes<T, joint, 1>(logits + r * groups + g, joint ? values + g : nullptr, weight + g,
                              width, groups, row + r, entropy_weight, grad_logits + r * groups + g,
                              joint ? grad_values + g : nullptr);
      });
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
