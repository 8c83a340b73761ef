// soft_gather, its backward and soft_scatter: A = softmax of each row of logits, never stored.
// Layouts: args.h. Each row of logits is read from memory once; a second pass over it finds it in
// cache.
#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// (B, G, C) -> (B, C, G) in the precision of the sums.
template <class S>
void transpose(const S* from, const Shape& shape, Arithmetic<S>* to) {
  const int64_t groups = shape.groups, columns = shape.columns;
  for (int64_t b = 0; b < shape.batch; ++b)
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t c = 0; c < columns; ++c)
        to[(b * columns + c) * groups + g] = get(from[(b * groups + g) * columns + c]);
}

// (B, C, G) -> (B, G, C).
template <class S>
void transpose_back(const Arithmetic<S>* from, const Shape& shape, S* to) {
  const int64_t groups = shape.groups, columns = shape.columns;
  for (int64_t b = 0; b < shape.batch; ++b)
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t c = 0; c < columns; ++c)
        put(to[(b * groups + g) * columns + c], from[(b * columns + c) * groups + g]);
}

template <class S, bool one_column>
void gather(const SoftGatherArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t groups = args.shape.groups, columns = one_column ? 1 : args.shape.columns;
  const int64_t rows = args.shape.rows;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const Scratch<Vec<T>> sums(split.items, columns);
  const Scratch<T> turned(1, args.shape.batch * columns * groups);
  transpose(args.values, args.shape, turned[0]);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const T* values = turned[0] + b * columns * groups;
    Vec<T> single;
    Vec<T>* weighted = one_column ? &single : sums[item];
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const S* logits = args.logits + row * groups;
      const T most = largest_in_row(logits, groups);
      Vec<T> total = Vec<T>();
      for (int64_t c = 0; c < columns; ++c) weighted[c] = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> e = exp_vec<T>(load(logits + g, len, -infinity<T>) - most);
        total += e;
        for (int64_t c = 0; c < columns; ++c)
          weighted[c] += e * load(values + c * groups + g, len, T(0));
      });
      const T scale = T(1) / sum<T>(total);
      for (int64_t c = 0; c < columns; ++c)
        put(args.theta[row * columns + c], sum<T>(weighted[c]) * scale);
      args.stats[2 * row] = most;
      args.stats[2 * row + 1] = scale;
    }
  });
}

template <class S, bool one_column, bool with_values>
void gather_backward(const SoftGatherBackwardArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t groups = args.shape.groups, columns = one_column ? 1 : args.shape.columns;
  const int64_t rows = args.shape.rows, size = columns * groups;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const Scratch<T> partial(with_values ? split.items : 0, size);
  const Scratch<T> turned(2, args.shape.batch * size);
  transpose(args.values, args.shape, turned[0]);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const T* values = turned[0] + b * size;
    T* grad_values = with_values ? partial[item] : nullptr;
    if (with_values) fill_zero(grad_values, size);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const S* logits = args.logits + row * groups;
      const S* u = args.cotangent + row * columns;
      const S* theta = args.theta + row * columns;
      const T most = args.stats[2 * row], scale = args.stats[2 * row + 1];
      T centre = 0;
      if (!one_column)
        for (int64_t c = 0; c < columns; ++c) centre += get(u[c]) * get(theta[c]);
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> a = exp_vec<T>(load(logits + g, len, -infinity<T>) - most) * scale;
        Vec<T> slope;
        if (one_column) {
          const Vec<T> au = a * get(u[0]);
          slope = au * (load(values + g, len, T(0)) - get(theta[0]));
          if (with_values) add_to(grad_values + g, au, len);
        } else {
          slope = Vec<T>() - centre;
          for (int64_t c = 0; c < columns; ++c) {
            slope += get(u[c]) * load(values + c * groups + g, len, T(0));
            if (with_values) add_to(grad_values + c * groups + g, a * get(u[c]), len);
          }
          slope *= a;
        }
        store(args.grad_logits + row * groups + g, slope, len);
      });
    }
  });
  if (!with_values) return;
  add_partials(split, args.shape.batch, size, partial, turned[1]);
  transpose_back(turned[1], args.shape, args.grad_values);
}

}  // namespace

template <class S>
void soft_gather(const SoftGatherArgs<S>& args) {
  args.shape.columns == 1 ? gather<S, true>(args) : gather<S, false>(args);
}

template <class S>
void soft_gather_backward(const SoftGatherBackwardArgs<S>& args) {
  const bool one_column = args.shape.columns == 1;
  if (args.grad_values)
    one_column ? gather_backward<S, true, true>(args) : gather_backward<S, false, true>(args);
  else
    one_column ? gather_backward<S, true, false>(args) : gather_backward<S, false, false>(args);
}

template <class S>
void soft_scatter(const SoftScatterArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t groups = args.shape.groups, columns = args.shape.columns;
  const int64_t rows = args.shape.rows, size = columns * groups;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const Scratch<T> partial(split.items, size), turned(1, args.shape.batch * size);
  const Scratch<T> exponentials(split.items, groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    T* out = partial[item];
    T* e = exponentials[item];
    fill_zero(out, size);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const S* logits = args.logits + row * groups;
      const T most = largest_in_row(logits, groups);
      Vec<T> total = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> value = exp_vec<T>(load(logits + g, len, -infinity<T>) - most);
        total += value;
        store(e + g, value, len);
      });
      const T scale = T(1) / sum<T>(total);
      for (int64_t c = 0; c < columns; ++c) {
        const T weight = get(args.x[row * columns + c]) * scale;
        along_row<T>(groups, [&](int64_t g, auto len) {
          add_to(out + c * groups + g, load(e + g, len, T(0)) * weight, len);
        });
      }
    }
  });
  add_partials(split, args.shape.batch, size, partial, turned[0]);
  transpose_back(turned[0], args.shape, args.out);
}

EQUISHARE_INSTANTIATE_STORAGE(soft_gather, SoftGatherArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_gather_backward, SoftGatherBackwardArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_scatter, SoftScatterArgs)

}  // namespace equishare::EQUISHARE_ISA
