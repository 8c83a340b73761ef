// soft_gather and its backward for one column and small problems, one problem a lane.
//
// Exponentials are at most 1 and fewer than lanes, so that values divided by as many have sums
// within the range of T.
#include "cpu/soft.h"

namespace equishare::EQUISHARE_ISA {

template <class S>
void soft_gather_tiles(const SoftGatherArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(tile_count<T>(args.shape), 1, batch * rows * groups, args.shape.threads);
  const Scratch<Vec<T>> scratch(split.items, rows * groups + groups + 3 * rows);
  for_items(split, [&](int64_t item) {
    const Tile<T> tile = tile_at<T>(item, batch);
    Vec<T>*logits = scratch[item], *values = logits + rows * groups;
    Vec<T>*theta = values + groups, *stats = theta + rows;
    tile.read(args.logits, rows * groups, logits);
    tile.read(args.values, groups, values);
    for (int64_t g = 0; g < groups; ++g) values[g] *= T(1) / lanes<T>;
    for (int64_t k = 0; k < rows; ++k) {
      const Vec<T>* row = logits + k * groups;
      Vec<T> most = Vec<T>() - infinity<T>;
      for (int64_t g = 0; g < groups; ++g) most = larger(row[g], most);
      Vec<T> total = Vec<T>(), weighted = Vec<T>();
      for (int64_t g = 0; g < groups; ++g) {
        const Vec<T> e = exp_of_depth(row[g] - most);
        total += e;
        weighted += e * values[g];
      }
      stats[2 * k] = most;
      stats[2 * k + 1] = T(1) / total;
      theta[k] = weighted * stats[2 * k + 1] * T(lanes<T>);
    }
    tile.write(theta, rows, args.theta);
    tile.write(stats, 2 * rows, args.stats);
  });
}

template <class S>
void soft_gather_backward_tiles(const SoftGatherBackwardArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(tile_count<T>(args.shape), 1, batch * rows * groups, args.shape.threads);
  const Scratch<Vec<T>> scratch(split.items, rows * groups + 2 * groups + 3 * rows);
  for_items(split, [&](int64_t item) {
    const Tile<T> tile = tile_at<T>(item, batch);
    Vec<T>*logits = scratch[item], *values = logits + rows * groups;
    Vec<T>*grad_values = values + groups, *u = grad_values + groups, *stats = u + rows;
    tile.read(args.logits, rows * groups, logits);
    tile.read(args.values, groups, values);
    tile.read(args.cotangent, rows, u);
    tile.read(args.stats, 2 * rows, stats);
    for (int64_t g = 0; g < groups; ++g) grad_values[g] = Vec<T>();
    for (int64_t k = 0; k < rows; ++k) {
      Vec<T>* row = logits + k * groups;
      Vec<T> theta = Vec<T>();
      for (int64_t g = 0; g < groups; ++g) {
        row[g] = exp_of_depth(row[g] - stats[2 * k]) * stats[2 * k + 1];
        theta += row[g] * values[g];
      }
      for (int64_t g = 0; g < groups; ++g) {
        grad_values[g] += row[g] * u[k];
        row[g] *= (values[g] - theta) * u[k];
      }
    }
    tile.write(logits, rows * groups, args.grad_logits);
    if (args.grad_values) tile.write(grad_values, groups, args.grad_values);
  });
}

EQUISHARE_INSTANTIATE_STORAGE(soft_gather_tiles, SoftGatherArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_gather_backward_tiles, SoftGatherBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
