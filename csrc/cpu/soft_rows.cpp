// soft_gather, its backward and soft_scatter for one column, vectors along a row of logits.
//
// The exponentials of a row are taken relative to a pivot. The row's first logit serves, and so
// nothing has to be known of the row beforehand, unless another logit is so much larger that the
// sums lose their range, or a weight beside them its digits; then the row is taken again with its
// largest logit.
#include "cpu/soft.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class T>
constexpr T sound_limit = T(0x1p60);

// Whether x / total is below the smallest normal number, and so has fewer digits than x.
template <class T>
EQUISHARE_INLINE bool is_faint(T x, T total) {
  constexpr T least = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);
  const T size = x < 0 ? -x : x;
  return size < least * sound_limit<T> && size < least * total && size > 0;
}

template <class T>
struct Sums {
  Vec<T> total, weighted;
};

// Sums of exp(logit - pivot) and of exp(logit - pivot) * value.
template <class S, class T>
EQUISHARE_INLINE Sums<T> weigh(const S* logits, const T* values, int64_t groups, T pivot) {
  Sums<T> sums = {Vec<T>(), Vec<T>()};
  along_row<T>(groups, [&](int64_t g, auto len) {
    const Vec<T> e = exp_vec(load(logits + g, len, -infinity<T>) - pivot);
    sums.total += e;
    sums.weighted += e * load(values + g, len, T(0));
  });
  return sums;
}

// sum A value from the assignments themselves, where sum exp(logit - pivot) * value overflows.
template <class S, class T>
[[gnu::noinline]] T mean_of(const S* logits, const T* values, int64_t groups, T pivot, T scale) {
  Vec<T> total = Vec<T>();
  along_row<T>(groups, [&](int64_t g, auto len) {
    const Vec<T> e = exp_vec(load(logits + g, len, -infinity<T>) - pivot);
    total += e * scale * load(values + g, len, T(0));
  });
  return sum<T>(total);
}

// Up to `lanes` rows whose sums are finished together.
template <class S>
struct Block {
  using T = Arithmetic<S>;
  T pivot[lanes<T>], scale[lanes<T>], theta[lanes<T>];

  void fill(const S* logits, const T* values, int64_t groups, int64_t count) {
    Vec<T> total[lanes<T>], weighted[lanes<T>];
    for (int64_t r = 0; r < count; ++r) {
      pivot[r] = get(logits[r * groups]);
      const Sums<T> sums = weigh<S, T>(logits + r * groups, values, groups, pivot[r]);
      total[r] = sums.total;
      weighted[r] = sums.weighted;
    }
    for (int64_t r = count; r < lanes<T>; ++r) total[r] = weighted[r] = Vec<T>() + T(1);
    const Vec<T> size = sums_of<T>(total), mean = sums_of<T>(weighted), inverse = T(1) / size;
    store(scale, inverse, Full{});
    store(theta, mean * inverse, Full{});
    const Vec<T> one = Vec<T>() + T(1), zero = Vec<T>();
    const Vec<T> sound = mean - mean == zero ? (size < sound_limit<T> ? one : zero) : zero;
    if (sum<T>(sound) == T(lanes<T>)) return;
    for (int64_t r = 0; r < count; ++r) {
      if (sound[r] == T(1)) continue;
      const S* row = logits + r * groups;
      pivot[r] = largest_in_row(row, groups);
      const Sums<T> sums = weigh<S, T>(row, values, groups, pivot[r]);
      scale[r] = T(1) / sum<T>(sums.total);
      theta[r] = sum<T>(sums.weighted) * scale[r];
      if (!(theta[r] - theta[r] == 0))
        theta[r] = mean_of<S, T>(row, values, groups, pivot[r], scale[r]);
    }
  }
};

// exp(logit - pivot), and their sum.
template <class S, class T>
EQUISHARE_INLINE T exponentials_of(const S* logits, int64_t groups, T pivot, T* out) {
  Vec<T> total = Vec<T>();
  along_row<T>(groups, [&](int64_t g, auto len) {
    const Vec<T> e = exp_vec(load(logits + g, len, -infinity<T>) - pivot);
    total += e;
    store(out + g, e, len);
  });
  return sum<T>(total);
}

template <class S, class T>
[[gnu::noinline]] T exponentials_again(const S* logits, int64_t groups, T* out) {
  return exponentials_of<S, T>(logits, groups, largest_in_row(logits, groups), out);
}

// Groups ahead of those at work that are asked for, logits and gradient: the store of a line begins
// with reading it. Rows that go together are too short to gain.
template <class S>
constexpr int64_t ahead = 2048 / sizeof(S);

// Gradient of the logits of `count` rows that lie `stride` apart, over `width` groups; their share
// of the gradient of the values is added.
template <class S, bool with_values, int count>
EQUISHARE_INLINE void slopes(const S* logits, const Arithmetic<S>* values, int64_t width,
                             int64_t stride, const Arithmetic<S>* pivot, const Arithmetic<S>* scale,
                             const Arithmetic<S>* u, const Arithmetic<S>* theta, S* grad_logits,
                             Arithmetic<S>* grad_values) {
  using T = Arithmetic<S>;
  along_row<T>(width, [&](int64_t g, auto len) {
    const Vec<T> value = load(values + g, len, T(0));
    Vec<T> along = with_values ? load(grad_values + g, len, T(0)) : Vec<T>();
    for (int r = 0; r < count; ++r) {
      const Vec<T> logit = load(logits + r * stride + g, len, -infinity<T>);
      if (count == 1) {
        __builtin_prefetch(logits + g + ahead<S>);
        __builtin_prefetch(grad_logits + g + ahead<S>, 1);
      }
      const Vec<T> a = exp_of_depth(logit - pivot[r]) * scale[r];
      if (with_values) along += a * u[r];
      store(grad_logits + r * stride + g, a * ((value - theta[r]) * u[r]), len);
    }
    if (with_values) store(grad_values + g, along, len);
  });
}

template <class S, bool with_values>
void gather_backward(const SoftGatherBackwardArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Widened<S> all_values(args.values, batch * groups);
  const Scratch<T> partial(with_values ? split.items : 0, groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item), end = split.end(item);
    const T* values = all_values.data + b * groups;
    T* grad_values = with_values ? partial[item] : nullptr;
    if (with_values) fill_zero(grad_values, groups);
    const int64_t step = rows_in_block<S>(groups);
    for (int64_t k = split.begin(item); k < end; k += step) {
      const int64_t row = b * rows + k, count = end - k < step ? end - k : step;
      const S* logits = args.logits + row * groups;
      S* grad_logits = args.grad_logits + row * groups;
      T pivot[together], scale[together], u[together], theta[together];
      for (int64_t r = 0; r < count; ++r) {
        pivot[r] = args.stats[2 * (row + r)];
        scale[r] = args.stats[2 * (row + r) + 1];
        const S* own = logits + r * groups;
        // The stored theta of halves is rounded too coarsely for differences from it.
        if constexpr (is_half<S>) {
          theta[r] = sum<T>(weigh<S, T>(own, values, groups, pivot[r]).weighted) * scale[r];
          if (!(theta[r] - theta[r] == 0))
            theta[r] = mean_of<S, T>(own, values, groups, pivot[r], scale[r]);
        } else {
          theta[r] = args.theta[row + r];
        }
        u[r] = get(args.cotangent[row + r]);
      }
      if (count == together && is_short<S>(groups)) {
        slopes<S, with_values, together>(logits, values, groups, groups, pivot, scale, u, theta,
                                         grad_logits, grad_values);
        continue;
      }
      for_pieces(groups, [&](int64_t g, int64_t width) {
        for (int64_t r = 0; r < count; ++r)
          slopes<S, with_values, 1>(logits + r * groups + g, values + g, width, groups, pivot + r,
                                    scale + r, u + r, theta + r, grad_logits + r * groups + g,
                                    with_values ? grad_values + g : nullptr);
      });
    }
  });
  if (with_values) add_partials(split, batch, groups, partial, args.grad_values);
}

}  // namespace

template <class S>
void soft_gather_rows(const SoftGatherArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Widened<S> values(args.values, batch * groups);
  for_items(split, [&](int64_t item) {
    const int64_t b = split.problem(item), end = split.end(item);
    Block<S> block;
    for (int64_t k = split.begin(item); k < end; k += lanes<T>) {
      const int64_t row = b * rows + k, count = end - k < lanes<T> ? end - k : lanes<T>;
      block.fill(args.logits + row * groups, values.data + b * groups, groups, count);
      for (int64_t r = 0; r < count; ++r) {
        put(args.theta[row + r], block.theta[r]);
        args.stats[2 * (row + r)] = block.pivot[r];
        args.stats[2 * (row + r) + 1] = block.scale[r];
      }
    }
  });
}

template <class S>
void soft_gather_backward_rows(const SoftGatherBackwardArgs<S>& args) {
  args.grad_values ? gather_backward<S, true>(args) : gather_backward<S, false>(args);
}

template <class S>
void soft_scatter_rows(const SoftScatterArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t rows = args.shape.rows, groups = args.shape.groups, batch = args.shape.batch;
  const Split split(batch, rows, batch * rows * groups, args.shape.threads);
  const Scratch<T> partial(split.items, groups), exponentials(split.threads, groups);
  for_items_on_threads(split, [&](int64_t item, int thread) {
    T *out = partial[item], *e = exponentials[thread];
    fill_zero(out, groups);
    for (int64_t k = split.begin(item); k < split.end(item); ++k) {
      const int64_t row = split.problem(item) * rows + k;
      const S* logits = args.logits + row * groups;
      const T x = get(args.x[row]);
      T total = exponentials_of<S, T>(logits, groups, get(logits[0]), e);
      if (!(total < sound_limit<T>) || is_faint(x, total))
        total = exponentials_again(logits, groups, e);
      const T weight = x / total;
      along_row<T>(groups, [&](int64_t g, auto len) {
        add_to(out + g, load(e + g, len, T(0)) * weight, len);
      });
    }
  });
  add_partials(split, batch, groups, partial, args.out);
}

EQUISHARE_INSTANTIATE_STORAGE(soft_gather_rows, SoftGatherArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_gather_backward_rows, SoftGatherBackwardArgs)
EQUISHARE_INSTANTIATE_STORAGE(soft_scatter_rows, SoftScatterArgs)

}  // namespace equishare::EQUISHARE_ISA
