// soft_gather, its backward and soft_scatter: A = softmax of each row of logits, never stored.
// Layouts: args.h.
//
// One column: a row is reduced by a team of lanes, or of a whole block, in one pass; sums over rows
// are two-stage. Several columns: the row statistics first, then tiled products that form A from
// them as they load.
#include "cuda/kernels.h"
#include "cuda/product.cuh"
#include "cuda/rows.cuh"
#include "cuda/tiles.cuh"

namespace equishare::cuda {
namespace {

// One column, u known, statistics known: no row is reduced.
template <class S, bool with_values>
struct GatherBackwardPass {
  using A = Arithmetic<S>;
  static constexpr int sums = with_values ? 1 : 0;
  static constexpr bool reads_rows = false, heavy = false;
  struct Row {
    A most, scale, u, theta;
  };
  template <int width>
  struct Column {
    A value[width];
  };
  using Total = Nothing;
  SoftGatherBackwardArgs<S> args;

  template <int width>
  __device__ Row row(int64_t b, int64_t k, const TileRow<S>& tile) const {
    if (!tile.logits) return {};
    const int64_t row = b * args.shape.rows + k;
    return {args.stats[2 * row], args.stats[2 * row + 1], widen(args.cotangent[row]),
            widen(args.theta[row])};
  }
  __device__ void add_rows(const Row*, int64_t, Total&) const {}
  __device__ void end_chunk(int64_t, Total) const {}

  template <int width>
  __device__ Column<width> column(int64_t b, int64_t g) const {
    const auto pack = load_pack<width>(args.values + b * args.shape.groups + g);
    Column<width> column;
    for (int j = 0; j < width; ++j) column.value[j] = widen(pack.item[j]);
    return column;
  }

  template <int width, class Sums>
  __device__ void entry(int64_t b, int64_t k, int64_t g, const Pack<S, width>& logits,
                        const Row& row, const Column<width>& column, Sums& sum) const {
    Pack<S, width> slope;
    for (int j = 0; j < width; ++j) {
      const A a = exponential(widen(logits.item[j]) - row.most) * row.scale;
      slope.item[j] = narrow<S>(a * (row.u * (column.value[j] - row.theta)));
      if (with_values) sum[0][j] += a * row.u;
    }
    store_pack(args.grad_logits + (b * args.shape.rows + k) * args.shape.groups + g, slope);
  }
};

// One column: sum over k of A[k,g] x[k].
template <class S>
struct ScatterPass {
  using A = Arithmetic<S>;
  static constexpr int sums = 1;
  static constexpr bool reads_rows = true, heavy = false;
  struct Row {
    A most, weight;
  };
  template <int width>
  using Column = Nothing;
  using Total = Nothing;
  SoftScatterArgs<S> args;

  template <int width>
  __device__ Row row(int64_t b, int64_t k, const TileRow<S>& tile) const {
    auto sums_of_row = RowSums<A, false, false>::none();
    tile.template for_packs<width>(
        [&](int64_t, const Pack<S, width>& z) { sums_of_row.add(z, z); });
    sums_of_row = merge_team(sums_of_row, tile.team);
    if (!tile.logits) return {};
    return {sums_of_row.most, widen(args.x[b * args.shape.rows + k]) / sums_of_row.total};
  }
  __device__ void add_rows(const Row*, int64_t, Total&) const {}
  __device__ void end_chunk(int64_t, Total) const {}
  template <int width>
  __device__ Nothing column(int64_t, int64_t) const {
    return {};
  }

  template <int width, class Sums>
  __device__ void entry(int64_t, int64_t, int64_t, const Pack<S, width>& logits, const Row& row,
                        Nothing, Sums& sum) const {
    for (int j = 0; j < width; ++j)
      sum[0][j] += exponential(widen(logits.item[j]) - row.most) * row.weight;
  }
};

// A(row, g) from the statistics of the row.
template <class S>
struct Assignment {
  using A = Arithmetic<S>;
  int64_t rows, groups;
  const S* logits;
  const A* stats;  // (B, K, 2)

  __device__ A at(int64_t b, int64_t k, int64_t g) const {
    const int64_t row = b * rows + k;
    return exponential(widen(logits[row * groups + g]) - stats[2 * row]) * stats[2 * row + 1];
  }
};

// theta[k,c] = sum over g of A[k,g] values[g,c]
template <class S>
struct GatherProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = true, right_along_depth = false;
  Assignment<S> a;
  int64_t columns;
  const S* values;
  S* theta;

  __device__ A left(int64_t b, int64_t k, int64_t g) const { return a.at(b, k, g); }
  __device__ A right(int64_t b, int64_t g, int64_t c) const {
    return widen(values[(b * a.groups + g) * columns + c]);
  }
  __device__ void put(int64_t b, int64_t, int64_t k, int64_t c, A sum) const {
    theta[(b * a.rows + k) * columns + c] = narrow<S>(sum);
  }
};

// dlogits[k,g] = A[k,g] (sum over c of u[k,c] values[g,c] - centre[k]), centre = rowsum(u theta)
template <class S>
struct LogitGradProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = true, right_along_depth = true;
  Assignment<S> a;
  int64_t columns;
  const S* values;
  const S* u;
  const A* centre;
  S* grad_logits;

  __device__ A left(int64_t b, int64_t k, int64_t c) const {
    return widen(u[(b * a.rows + k) * columns + c]);
  }
  __device__ A right(int64_t b, int64_t c, int64_t g) const {
    return widen(values[(b * a.groups + g) * columns + c]);
  }
  __device__ void put(int64_t b, int64_t, int64_t k, int64_t g, A sum) const {
    const int64_t row = b * a.rows + k;
    grad_logits[row * a.groups + g] = narrow<S>(a.at(b, k, g) * (sum - centre[row]));
  }
};

// partial[split,g,c] = sum over the split's k of A[k,g] x[k,c]
template <class S>
struct ScatterProduct {
  using A = Arithmetic<S>;
  static constexpr bool left_along_depth = false, right_along_depth = false;
  Assignment<S> a;
  int64_t columns, splits;
  const S* x;
  A* partial;  // (B, splits, G, C)

  __device__ A left(int64_t b, int64_t g, int64_t k) const { return a.at(b, k, g); }
  __device__ A right(int64_t b, int64_t k, int64_t c) const {
    return widen(x[(b * a.rows + k) * columns + c]);
  }
  __device__ void put(int64_t b, int64_t split, int64_t g, int64_t c, A sum) const {
    partial[((b * splits + split) * a.groups + g) * columns + c] = sum;
  }
};

ProductShape scatter_shape(const Shape& s) {
  return split_product(s.batch, s.groups, s.columns, s.rows);
}

int64_t scatter_entries(const Shape& s) {
  return s.batch * s.groups * s.columns * scatter_shape(s).splits;
}

template <class S>
void scatter_columns(const char* name, const Shape& s, const Assignment<S>& a, const S* x, S* out,
                     Arithmetic<S>* partial, const Queue& queue) {
  const ProductShape shape = scatter_shape(s);
  run_product<Arithmetic<S>>(name, shape, ScatterProduct<S>{a, s.columns, shape.splits, x, partial},
                             queue);
  add_partials(name, partial, s.batch, shape.splits, s.groups * s.columns, out, queue);
}

// The pieces of scratch memory that the sums over rows of either number of columns take.
template <class S>
struct Layout {
  using A = Arithmetic<S>;
  A *stats, *centre, *partial;
  int64_t bytes;

  Layout(const Shape& s, bool with_stats, bool with_centre, void* base) {
    Scratch scratch(base);
    const int64_t rows = s.columns == 1 ? 0 : s.batch * s.rows;
    stats = scratch.take<A>(with_stats ? 2 * rows : 0);
    centre = scratch.take<A>(with_centre ? rows : 0);
    partial = scratch.take<A>(s.columns == 1 ? partial_entries<S>(s, 1) : scatter_entries(s));
    bytes = scratch.used();
  }
};

}  // namespace

template <class S>
void soft_gather(const SoftGatherArgs<S>& args, const Queue& queue) {
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  if (s.columns == 1)
    return run_gather_rows<S, true>("soft_gather", s, args.logits, args.values, args.theta,
                                    args.stats, queue);
  run_gather_rows<S, false>("soft_gather", s, args.logits, nullptr, nullptr, args.stats, queue);
  const Assignment<S> a{s.rows, s.groups, args.logits, args.stats};
  run_product<Arithmetic<S>>("soft_gather", {s.batch, s.rows, s.columns, s.groups, 1, s.groups},
                             GatherProduct<S>{a, s.columns, args.values, args.theta}, queue);
}

template <class S>
void soft_gather_backward(const SoftGatherBackwardArgs<S>& args, const Queue& queue) {
  using A = Arithmetic<S>;
  const char* const name = "soft_gather_backward";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const Layout<S> scratch(s, false, true, queue.workspace);
  if (s.columns == 1) {
    const auto run = [&](auto pass, auto width) {
      run_tiles<S, decltype(width)::value>(name, s, pass, args.logits, scratch.partial, queue);
      if (args.grad_values)
        add_partials(name, scratch.partial, s.batch, split_rows(s, decltype(width)::value).chunks,
                     s.groups, args.grad_values, queue);
    };
    with_width<S>(in_packs(s.groups, args.logits, args.values, args.grad_logits), [&](auto width) {
      args.grad_values ? run(GatherBackwardPass<S, true>{args}, width)
                       : run(GatherBackwardPass<S, false>{args}, width);
    });
    return;
  }
  const int64_t rows = s.batch * s.rows;
  const int team = team_of_rows(s.columns);
  const Assignment<S> a{s.rows, s.groups, args.logits, args.stats};
  launch(name, &dot_rows<S>, rows_grid(rows, team), queue, rows, s.columns, team, args.cotangent,
         args.theta, scratch.centre);
  run_product<A>(name, {s.batch, s.rows, s.groups, s.columns, 1, s.columns},
                 LogitGradProduct<S>{a, s.columns, args.values, args.cotangent, scratch.centre,
                                     args.grad_logits},
                 queue);
  if (args.grad_values)
    scatter_columns(name, s, a, args.cotangent, args.grad_values, scratch.partial, queue);
}

template <class S>
void soft_scatter(const SoftScatterArgs<S>& args, const Queue& queue) {
  const char* const name = "soft_scatter";
  const DeviceGuard guard(queue.device);
  const Shape& s = args.shape;
  const Layout<S> scratch(s, true, false, queue.workspace);
  if (s.columns == 1) {
    with_width<S>(in_packs(s.groups, args.logits), [&](auto width) {
      run_tiles<S, decltype(width)::value>(name, s, ScatterPass<S>{args}, args.logits,
                                           scratch.partial, queue);
      add_partials(name, scratch.partial, s.batch, split_rows(s, decltype(width)::value).chunks,
                   s.groups, args.out, queue);
    });
    return;
  }
  run_gather_rows<S, false>(name, s, args.logits, nullptr, nullptr, scratch.stats, queue);
  scatter_columns(name, s, Assignment<S>{s.rows, s.groups, args.logits, scratch.stats}, args.x,
                  args.out, scratch.partial, queue);
}

template <class S>
int64_t soft_gather_workspace(const Shape&) {
  return 0;
}
template <class S>
int64_t soft_gather_backward_workspace(const Shape& shape) {
  return Layout<S>(shape, false, true, nullptr).bytes;
}
template <class S>
int64_t soft_scatter_workspace(const Shape& shape) {
  return Layout<S>(shape, true, false, nullptr).bytes;
}

#define EQUISHARE_INSTANTIATE(S)                                                      \
  template void soft_gather(const SoftGatherArgs<S>&, const Queue&);                  \
  template void soft_gather_backward(const SoftGatherBackwardArgs<S>&, const Queue&); \
  template void soft_scatter(const SoftScatterArgs<S>&, const Queue&);                \
  template int64_t soft_gather_workspace<S>(const Shape&);                            \
  template int64_t soft_gather_backward_workspace<S>(const Shape&);                   \
  template int64_t soft_scatter_workspace<S>(const Shape&);
EQUISHARE_INSTANTIATE(float)
EQUISHARE_INSTANTIATE(double)
EQUISHARE_INSTANTIATE(bfloat16)
EQUISHARE_INSTANTIATE(float16)

}  // namespace equishare::cuda
