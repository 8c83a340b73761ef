// soft_gather, its backward and soft_scatter for several columns: blocks of A, a few rows of which
// are in cache at a time, times blocks of values or entries.
//
// Work is cut by rows, or by columns where a few rows have many (wide). Values are turned to (C, G)
// where vectors run along the groups: with few columns (narrow), and for the gradient of A.
#include "cpu/product.h"
#include "cpu/soft.h"

namespace equishare::EQUISHARE_ISA {
namespace {

constexpr int64_t block_entries = 1 << 13, wide_entries = 1 << 14;

// How one problem is cut; one item is some rows and some columns of it.
template <class T>
struct Cut {
  bool wide, narrow, turned_slopes;
  int64_t rows, groups, columns, block;
  Split split;

  explicit Cut(const Shape& s)
      : wide(s.rows * s.groups <= wide_entries && s.columns > 4 * s.rows &&
             s.columns >= 4 * lanes<T>),
        narrow(s.columns < 2 * lanes<T>),
        turned_slopes(narrow || (!wide && s.groups >= 2 * lanes<T>)),
        rows(s.rows),
        groups(s.groups),
        columns(s.columns),
        block(block_entries / s.groups >= 8 ? block_entries / s.groups / 8 * 8 : 8),
        split(s.batch, wide ? s.columns : s.rows, s.batch * s.rows * s.groups * (s.columns / 4 + 4),
              s.threads) {
    if (wide || block > rows) block = rows;
  }
  int64_t first_row(int64_t item) const { return wide ? 0 : split.begin(item); }
  int64_t end_row(int64_t item) const { return wide ? rows : split.end(item); }
  int64_t first_column(int64_t item) const { return wide ? split.begin(item) : 0; }
  int64_t width(int64_t item) const { return wide ? split.end(item) - split.begin(item) : columns; }
};

// `count` rows of A, and of statistics unless null.
template <class S, class T>
void assign_rows(const S* logits, int64_t groups, int64_t count, T* a, T* stats) {
  for (int64_t k = 0; k < count; ++k, logits += groups, a += groups) {
    const T pivot = largest_in_row(logits, groups);
    Vec<T> total = Vec<T>();
    along_row<T>(groups, [&](int64_t g, auto len) {
      const Vec<T> logit = load(logits + g, len, -infinity<T>);
      const Vec<T> e = exp_of_depth(logit - pivot);
      total += e;
      store(a + g, e, len);
    });
    const T scale = T(1) / sum<T>(total);
    along_row<T>(groups,
                 [&](int64_t g, auto len) { store(a + g, load(a + g, len, T(0)) * scale, len); });
    if (!stats) continue;
    stats[2 * k] = pivot;
    stats[2 * k + 1] = scale;
  }
}

// Gradient of `count` rows of logits from that of A.
template <class S, class T>
void slope_rows(const T* a, const T* grad_a, int64_t groups, int64_t count, S* grad_logits) {
  for (int64_t k = 0; k < count; ++k, a += groups, grad_a += groups, grad_logits += groups) {
    Vec<T> total = Vec<T>();
    along_row<T>(groups, [&](int64_t g, auto len) {
      total += load(a + g, len, T(0)) * load(grad_a + g, len, T(0));
    });
    const T centre = sum<T>(total);
    along_row<T>(groups, [&](int64_t g, auto len) {
      store(grad_logits + g, load(a + g, len, T(0)) * (load(grad_a + g, len, T(0)) - centre), len);
    });
  }
}

// Logits and their gradient, of any storage type: all else is compiled for float and double alone.
template <class T>
class Rows {
 public:
  template <class S>
  Rows(const S* logits, S* grad_logits, int64_t groups)
      : logits_(logits),
        grad_logits_(grad_logits),
        groups_(groups),
        assign_([](const Rows& rows, int64_t row, int64_t count, T* a, T* stats) {
          assign_rows(static_cast<const S*>(rows.logits_) + row * rows.groups_, rows.groups_, count,
                      a, stats);
        }),
        slope_([](const Rows& rows, int64_t row, int64_t count, const T* a, const T* grad_a) {
          slope_rows(a, grad_a, rows.groups_, count,
                     static_cast<S*>(rows.grad_logits_) + row * rows.groups_);
        }) {}
  void assignments(int64_t row, int64_t count, T* a, T* stats) const {
    assign_(*this, row, count, a, stats);
  }
  void slopes(int64_t row, int64_t count, const T* a, const T* grad_a) const {
    slope_(*this, row, count, a, grad_a);
  }

 private:
  const void* logits_;
  void* grad_logits_;
  int64_t groups_;
  void (*assign_)(const Rows&, int64_t row, int64_t count, T* a, T* stats);
  void (*slope_)(const Rows&, int64_t row, int64_t count, const T* a, const T* grad_a);
};

// (B, R, C) -> (B, C, R).
template <class T>
void turn_all(const T* from, int64_t batch, int64_t rows, int64_t columns, T* to) {
  for (int64_t b = 0; b < batch; ++b, from += rows * columns, to += rows * columns)
    turn(from, columns, rows, columns, to, rows, rows);
}

// Values (B, G, C) as they are or turned to (B, C, G).
template <class T>
class Oriented {
 public:
  Oriented(const T* values, int64_t batch, const Cut<T>& cut, bool turned)
      : turned_(turned ? 1 : 0, batch * cut.groups * cut.columns), values_(values) {
    if (!turned) return;
    turn_all(values, batch, cut.groups, cut.columns, turned_[0]);
    values_ = turned_[0];
  }
  const T* operator+(int64_t offset) const { return values_ + offset; }

 private:
  Scratch<T> turned_;
  const T* values_;
};

// sum_k A[k,g] x[k,c] of all problems. Each item adds its blocks of A to the first, or, where wide,
// writes its columns, which no other item touches.
template <class T>
class Scatter {
 public:
  Scatter(const Cut<T>& cut, int64_t batch, T* out)
      : cut_(cut),
        batch_(batch),
        size_(cut.groups * cut.columns),
        out_(out),
        partial_(cut.wide ? 0 : cut.split.items, size_) {}

  // x points at the block's first row and the item's first column.
  void add(int64_t item, bool first, const T* a, const T* x, int64_t count) const {
    const int64_t groups = cut_.groups, columns = cut_.columns;
    if (cut_.wide)
      product<T>(false, groups, cut_.width(item), count, {a, 1, groups}, x, columns,
                 out_ + cut_.split.problem(item) * size_ + cut_.first_column(item), columns);
    else if (cut_.narrow)
      product<T>(!first, columns, groups, count, {x, 1, columns}, a, groups, partial_[item],
                 groups);
    else
      product<T>(!first, groups, columns, count, {a, 1, groups}, x, columns, partial_[item],
                 columns);
  }
  void finish() const {
    if (cut_.wide) return;
    if (!cut_.narrow) return add_partials(cut_.split, batch_, size_, partial_, out_);
    const Scratch<T> turned(1, batch_ * size_);
    add_partials(cut_.split, batch_, size_, partial_, turned[0]);
    turn_all(turned[0], batch_, cut_.columns, cut_.groups, out_);
  }

 private:
  const Cut<T>& cut_;
  int64_t batch_, size_;
  T* out_;
  Scratch<T> partial_;
};

// Calls f(item, b, first row, rows) for blocks of rows; every item has at least one.
template <class T, class F>
EQUISHARE_INLINE void for_blocks(const Cut<T>& cut, F f) {
  for_items(cut.split, [&](int64_t item) {
    const int64_t b = cut.split.problem(item), end = cut.end_row(item);
    int64_t k = cut.first_row(item);
    do {
      const int64_t count = end - k < cut.block ? end - k : cut.block;
      f(item, b, k, count);
      k += count;
    } while (k < end);
  });
}

template <class T>
void gather(const Shape& s, const Rows<T>& logits, const T* values, T* theta, T* stats) {
  const int64_t rows = s.rows, groups = s.groups, columns = s.columns;
  const Cut<T> cut(s);
  const Oriented<T> oriented(values, s.batch, cut, cut.narrow);
  const Scratch<T> assignment(cut.split.items, cut.block * groups);
  for_blocks(cut, [&](int64_t item, int64_t b, int64_t k, int64_t count) {
    const int64_t row = b * rows + k, first = cut.first_column(item);
    const T* value = oriented + b * groups * columns;
    T *a = assignment[item], *out = theta + row * columns + first;
    logits.assignments(row, count, a, first ? nullptr : stats + 2 * row);
    if (cut.narrow)
      dots<T>(count, columns, groups, a, groups, value, groups, out, columns);
    else
      product<T>(false, count, cut.width(item), groups, {a, groups, 1}, value + first, columns, out,
                 columns);
  });
}

template <class T>
void gather_backward(const Shape& s, const Rows<T>& logits, const T* values, const T* u,
                     T* grad_values) {
  const int64_t rows = s.rows, groups = s.groups, columns = s.columns;
  const Cut<T> cut(s);
  const Oriented<T> oriented(values, s.batch, cut, cut.turned_slopes);
  const Scratch<T> assignment(cut.split.items, cut.block * groups);
  const Scratch<T> slope(cut.split.items, cut.block * groups);
  const Scatter<T> scatter(cut, grad_values ? s.batch : 0, grad_values);
  for_blocks(cut, [&](int64_t item, int64_t b, int64_t k, int64_t count) {
    const int64_t row = b * rows + k, first = cut.first_column(item);
    const T *value = oriented + b * groups * columns, *x = u + row * columns + first;
    T *a = assignment[item], *grad_a = slope[item];
    logits.assignments(row, count, a, nullptr);
    if (cut.turned_slopes)
      product<T>(false, count, groups, columns, {x, columns, 1}, value, groups, grad_a, groups);
    else
      dots<T>(count, groups, cut.width(item), x, columns, value + first, columns, grad_a, groups);
    if (grad_values) scatter.add(item, k == cut.first_row(item), a, x, count);
    if (!cut.wide) logits.slopes(row, count, a, grad_a);
  });
  if (grad_values) scatter.finish();
  if (!cut.wide) return;
  for (int64_t b = 0; b < s.batch; ++b) {
    const int64_t item = b * cut.split.chunks;
    for (int64_t c = 1; c < cut.split.chunks; ++c)
      for (int64_t j = 0; j < rows * groups; ++j) slope[item][j] += slope[item + c][j];
    logits.slopes(b * rows, rows, assignment[item], slope[item]);
  }
}

template <class T>
void scatter_all(const Shape& s, const Rows<T>& logits, const T* x, T* out) {
  const int64_t rows = s.rows, groups = s.groups, columns = s.columns;
  const Cut<T> cut(s);
  const Scratch<T> assignment(cut.split.items, cut.block * groups);
  const Scatter<T> scatter(cut, s.batch, out);
  for_blocks(cut, [&](int64_t item, int64_t b, int64_t k, int64_t count) {
    const int64_t row = b * rows + k;
    logits.assignments(row, count, assignment[item], nullptr);
    scatter.add(item, k == cut.first_row(item), assignment[item],
                x + row * columns + cut.first_column(item), count);
  });
  scatter.finish();
}

}  // namespace

template <class S>
void soft_gather_columns(const SoftGatherArgs<S>& args) {
  const Shape& s = args.shape;
  const Widened<S> values(args.values, s.batch * s.groups * s.columns);
  const Rounded<S> theta(args.theta, s.batch * s.rows * s.columns);
  const Rows<Arithmetic<S>> logits(args.logits, static_cast<S*>(nullptr), s.groups);
  gather(s, logits, values.data, theta.data(), args.stats);
  theta.finish();
}

template <class S>
void soft_gather_backward_columns(const SoftGatherBackwardArgs<S>& args) {
  const Shape& s = args.shape;
  const Widened<S> values(args.values, s.batch * s.groups * s.columns);
  const Widened<S> u(args.cotangent, s.batch * s.rows * s.columns);
  const Rounded<S> grad_values(args.grad_values, s.batch * s.groups * s.columns);
  const Rows<Arithmetic<S>> logits(args.logits, args.grad_logits, s.groups);
  gather_backward(s, logits, values.data, u.data, grad_values.data());
  grad_values.finish();
}

template <class S>
void soft_scatter_columns(const SoftScatterArgs<S>& args) {
  const Shape& s = args.shape;
  const Widened<S> x(args.x, s.batch * s.rows * s.columns);
  const Rounded<S> out(args.out, s.batch * s.groups * s.columns);
  const Rows<Arithmetic<S>> logits(args.logits, static_cast<S*>(nullptr), s.groups);
  scatter_all(s, logits, x.data, out.data());
  out.finish();
}

EQUISHARE_INSTANTIATE_STORAGE(soft_gather_columns, SoftGatherArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_gather_backward_columns, SoftGatherBackwardArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_scatter_columns, SoftScatterArgs)

}  // namespace equishare::EQUISHARE_ISA
