// soft_gather, its backward and soft_scatter: A = softmax of each row of logits, never stored.
// Layouts: args.h. Each row of logits is read from memory once; a second pass over it finds it in
// cache.
#include "cpu/kernels.h"
#include "cpu/simd.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T, bool one_column>
void gather(const SoftGatherArgs<T>& args) {
  const int64_t groups = args.shape.groups, columns = one_column ? 1 : args.shape.columns;
  const int64_t rows = args.shape.rows;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const Scratch<Vec<T>> sums(split.items, columns);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const T* values = args.values + b * columns * groups;
    Vec<T> single;
    Vec<T>* weighted = one_column ? &single : sums[item];
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const T* logits = args.logits + row * groups;
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
        args.theta[row * columns + c] = sum<T>(weighted[c]) * scale;
      args.stats[2 * row] = most;
      args.stats[2 * row + 1] = scale;
    }
  });
}

template <class T, bool one_column, bool with_values>
void gather_backward(const SoftGatherBackwardArgs<T>& args) {
  const int64_t groups = args.shape.groups, columns = one_column ? 1 : args.shape.columns;
  const int64_t rows = args.shape.rows, size = columns * groups;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const bool direct = split.chunks == 1;
  const Scratch<T> partial(with_values && !direct ? split.items : 0, size);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    const T* values = args.values + b * size;
    T* grad_values = !with_values ? nullptr : direct ? args.grad_values + b * size : partial[item];
    if (with_values) fill_zero(grad_values, size);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const T* logits = args.logits + row * groups;
      const T* u = args.cotangent + row * columns;
      const T* theta = args.theta + row * columns;
      const T most = args.stats[2 * row], scale = args.stats[2 * row + 1];
      T centre = 0;
      if (!one_column)
        for (int64_t c = 0; c < columns; ++c) centre += u[c] * theta[c];
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> a = exp_vec<T>(load(logits + g, len, -infinity<T>) - most) * scale;
        Vec<T> slope;
        if (one_column) {
          const Vec<T> au = a * u[0];
          slope = au * (load(values + g, len, T(0)) - theta[0]);
          if (with_values) add_to(grad_values + g, au, len);
        } else {
          slope = Vec<T>() - centre;
          for (int64_t c = 0; c < columns; ++c) {
            slope += u[c] * load(values + c * groups + g, len, T(0));
            if (with_values) add_to(grad_values + c * groups + g, a * u[c], len);
          }
          slope *= a;
        }
        store(args.grad_logits + row * groups + g, slope, len);
      });
    }
  });
  if (with_values && !direct)
    add_partials(split, args.shape.batch, size, partial, args.grad_values);
}

}  // namespace

template <class T>
void soft_gather(const SoftGatherArgs<T>& args) {
  args.shape.columns == 1 ? gather<T, true>(args) : gather<T, false>(args);
}

template <class T>
void soft_gather_backward(const SoftGatherBackwardArgs<T>& args) {
  const bool one_column = args.shape.columns == 1;
  if (args.grad_values)
    one_column ? gather_backward<T, true, true>(args) : gather_backward<T, false, true>(args);
  else
    one_column ? gather_backward<T, true, false>(args) : gather_backward<T, false, false>(args);
}

template <class T>
void soft_scatter(const SoftScatterArgs<T>& args) {
  const int64_t groups = args.shape.groups, columns = args.shape.columns;
  const int64_t rows = args.shape.rows, size = columns * groups;
  const Split split(args.shape.batch, rows, args.shape.batch * rows * groups, args.shape.threads);
  const bool direct = split.chunks == 1;
  const Scratch<T> partial(direct ? 0 : split.items, size);
  const Scratch<T> exponentials(split.items, groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item);
    T* out = direct ? args.out + b * size : partial[item];
    T* e = exponentials[item];
    fill_zero(out, size);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = b * rows + k;
      const T* logits = args.logits + row * groups;
      const T most = largest_in_row(logits, groups);
      Vec<T> total = Vec<T>();
      along_row<T>(groups, [&](int64_t g, auto len) {
        const Vec<T> value = exp_vec<T>(load(logits + g, len, -infinity<T>) - most);
        total += value;
        store(e + g, value, len);
      });
      const T scale = T(1) / sum<T>(total);
      for (int64_t c = 0; c < columns; ++c) {
        const T weight = args.x[row * columns + c] * scale;
        along_row<T>(groups, [&](int64_t g, auto len) {
          add_to(out + c * groups + g, load(e + g, len, T(0)) * weight, len);
        });
      }
    }
  });
  if (!direct) add_partials(split, args.shape.batch, size, partial, args.out);
}

EQUISHARE_INSTANTIATE(soft_gather, SoftGatherArgs)
EQUISHARE_INSTANTIATE(soft_gather_backward, SoftGatherBackwardArgs)
EQUISHARE_INSTANTIATE(soft_scatter, SoftScatterArgs)

}  // namespace equishare::EQUISHARE_ISA
