// The relaxation of `lanes` problems at a time, one problem a lane; the mathematics is that of
// relax_rows.cpp.
#include "cpu/relax.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class V>
EQUISHARE_INLINE V quotient_or_zero(V a, V b) {
  return b == V() ? V() : a / b;
}

}  // namespace

template <class T>
void relax_forward_tiles(const RelaxArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(tile_count<T>(args.shape), 1, batch * rows * groups, args.shape.threads);
  const Scratch<Vec<T>> scratch(split.items, 2 * rows);
  for_items(split, [&](int64_t item) {
    const Tile<T> tile = tile_at<T>(item, batch);
    Vec<T>* assignment = reinterpret_cast<Vec<T>*>(args.workspace) + item * relax_state(args.shape);
    Vec<T>* stats = assignment + rows * groups;
    Vec<T>*colsum = stats + 3 * rows, *psi = colsum + groups, *norm = psi + groups;
    Vec<T>*x = scratch[item], *theta = x + rows;
    tile.read(args.x, rows, x);
    tile.read(args.logits, rows * groups, assignment);
    for (int64_t j = 0; j < 3 * groups; ++j) colsum[j] = Vec<T>();
    Vec<T> entropy = Vec<T>();
    for (int64_t k = 0; k < rows; ++k) {
      Vec<T>* a = assignment + k * groups;
      Vec<T> most = Vec<T>() - infinity<T>;
      for (int64_t g = 0; g < groups; ++g) most = larger(a[g], most);
      Vec<T> total = Vec<T>(), moment = Vec<T>();
      for (int64_t g = 0; g < groups; ++g) {
        const Vec<T> depth = a[g] - most;
        a[g] = exp_of_depth(depth);
        total += a[g];
        moment += a[g] * at_least(depth, least_log<T>);
      }
      const Vec<T> scale = T(1) / total, log_size = log_vec<T>(total);
      for (int64_t g = 0; g < groups; ++g) {
        a[g] *= scale;
        colsum[g] += a[g];
        psi[g] += a[g] * x[k];
        norm[g] += a[g] * a[g];
      }
      stats[3 * k] = most;
      stats[3 * k + 1] = log_size;
      stats[3 * k + 2] = log_size - moment * scale;
      entropy += stats[3 * k + 2];
    }
    Vec<T> norms = Vec<T>();
    for (int64_t g = 0; g < groups; ++g) {
      psi[g] = quotient_or_zero(psi[g], colsum[g]);
      norm[g] = sqrt_vec<T>(norm[g]);
      norms += norm[g];
    }
    for (int64_t k = 0; k < rows; ++k) {
      theta[k] = Vec<T>();
      for (int64_t g = 0; g < groups; ++g) theta[k] += assignment[k * groups + g] * psi[g];
    }
    entropy /= static_cast<T>(rows);
    tile.write(theta, rows, args.theta);
    tile.write(psi, groups, args.psi);
    tile.write(colsum, groups, args.colsum);
    tile.write(&entropy, 1, args.entropy);
    tile.write(&norms, 1, args.column_norm);
  });
}

template <class T>
void relax_backward_tiles(const RelaxBackwardArgs<T>& args) {
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const int64_t size = rows * groups;
  const Split split(tile_count<T>(args.shape), 1, batch * size, args.shape.threads);
  const Scratch<Vec<T>> scratch(split.items, size + 2 * rows + 3 * groups);
  for_items(split, [&](int64_t item) {
    const Tile<T> tile = tile_at<T>(item, batch);
    const Vec<T>* assignment =
        reinterpret_cast<const Vec<T>*>(args.workspace) + item * relax_state(args.shape);
    const Vec<T>* stats = assignment + size;
    const Vec<T>*colsum = stats + 3 * rows, *psi = colsum + groups, *norm = psi + groups;
    Vec<T>*logits = scratch[item], *x = logits + size, *u = x + rows;
    Vec<T>*q = u + rows, *weight = q + groups, *slope = weight + groups;
    Vec<T> entropy_weight, column_norm_weight;
    tile.read(args.logits, size, logits);
    tile.read(args.x, rows, x);
    tile.read(args.theta_weight, rows, u);
    tile.read(args.entropy_weight, 1, &entropy_weight);
    tile.read(args.column_norm_weight, 1, &column_norm_weight);
    entropy_weight /= static_cast<T>(rows);
    for (int64_t g = 0; g < groups; ++g) {
      Vec<T> p = Vec<T>();
      for (int64_t k = 0; k < rows; ++k) p += assignment[k * groups + g] * u[k];
      q[g] = quotient_or_zero(p, colsum[g]);
      weight[g] = quotient_or_zero(column_norm_weight, norm[g]);
    }
    for (int64_t k = 0; k < rows; ++k) {
      const Vec<T>* a = assignment + k * groups;
      Vec<T> centre = Vec<T>();
      for (int64_t g = 0; g < groups; ++g) {
        slope[g] = u[k] * psi[g] + q[g] * (x[k] - psi[g]) + a[g] * weight[g];
        centre += a[g] * slope[g];
      }
      for (int64_t g = 0; g < groups; ++g) {
        Vec<T>& logit = logits[k * groups + g];
        const Vec<T> log_a = at_least(logit - stats[3 * k] - stats[3 * k + 1], least_log<T>);
        const Vec<T> gradient =
            a[g] * (slope[g] - centre - entropy_weight * (log_a + stats[3 * k + 2]));
        if (args.moments) {
          T* first = args.moments + (2 * item * size + k * groups + g) * lanes<T>;
          logit = adam_step(args, logit, gradient, first, first + size * lanes<T>, Full{});
        } else {
          logit = gradient;
        }
      }
    }
    tile.write(logits, size, args.moments ? args.logits : args.grad_logits);
  });
}

EQUISHARE_INSTANTIATE(relax_forward_tiles, RelaxArgs)
EQUISHARE_INSTANTIATE(relax_backward_tiles, RelaxBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
