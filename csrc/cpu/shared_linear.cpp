// y = x W^T with W[o,i] = values[label[o,i]], for few samples: one row of W at a time lives in
// cache, W itself is never stored. Layouts: args.h.
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

template <class S, class L>
void weight_row(const L* labels, const S* values, int64_t inputs, Arithmetic<S>* weight) {
  for (int64_t i = 0; i < inputs; ++i) weight[i] = get(values[static_cast<int64_t>(labels[i])]);
}

template <class S, class L>
void forward(const SharedLinearArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t inputs = args.inputs, outputs = args.outputs;
  const Split split(1, outputs, outputs * inputs, args.threads);
  const Scratch<T> weights(split.items, inputs);
  for_items(split, [&](int64_t item) {
    T* weight = weights[item];
    for (int64_t o = split.begin(item); o < split.end(item); ++o) {
      weight_row(static_cast<const L*>(args.labels.data) + o * inputs, args.values, inputs, weight);
      for (int64_t n = 0; n < args.samples; ++n) {
        const S* x = args.x + n * inputs;
        Vec<T> total = Vec<T>();
        along_row<T>(inputs, [&](int64_t i, auto len) {
          total += load(x + i, len, T(0)) * load(weight + i, len, T(0));
        });
        put(args.y[n * outputs + o], sum<T>(total) + (args.bias ? get(args.bias[o]) : T(0)));
      }
    }
  });
}

// grad_x[n,i] = sum_o u[n,o] W[o,i];  grad_values[g] = sum over label[o,i] = g of sum_n u[n,o]
// x[n,i]
template <class S, class L>
void backward(const SharedLinearBackwardArgs<S>& args) {
  using T = Arithmetic<S>;
  const int64_t inputs = args.inputs, samples = args.samples;
  const Split split(1, args.outputs, args.outputs * inputs, args.threads);
  const Scratch<T> rows(split.items, 2 * inputs), grad_x(split.items, samples * inputs);
  const Scratch<double> grad_values(split.items, args.groups);
  for_items(split, [&](int64_t item) {
    T *weight = rows[item], *outer = weight + inputs;
    fill_zero(grad_x[item], samples * inputs);
    fill_zero(grad_values[item], args.groups);
    for (int64_t o = split.begin(item); o < split.end(item); ++o) {
      const L* labels = static_cast<const L*>(args.labels.data) + o * inputs;
      weight_row(labels, args.values, inputs, weight);
      fill_zero(outer, inputs);
      for (int64_t n = 0; n < samples; ++n) {
        const T u = get(args.cotangent[n * args.outputs + o]);
        const S* x = args.x + n * inputs;
        T* slope = grad_x[item] + n * inputs;
        along_row<T>(inputs, [&](int64_t i, auto len) {
          add_to(slope + i, u * load(weight + i, len, T(0)), len);
          add_to(outer + i, u * load(x + i, len, T(0)), len);
        });
      }
      double* sums = grad_values[item];
      for (int64_t i = 0; i < inputs; ++i) sums[static_cast<int64_t>(labels[i])] += outer[i];
    }
  });
  add_partials(split, 1, samples * inputs, grad_x, args.grad_x);
  add_partials(split, 1, args.groups, grad_values, args.grad_values);
}

}  // namespace

template <class S>
void shared_linear(const SharedLinearArgs<S>& args) {
  switch (args.labels.type) {
    case LabelType::u8:
      return forward<S, uint8_t>(args);
    case LabelType::i16:
      return forward<S, int16_t>(args);
    case LabelType::i32:
      return forward<S, int32_t>(args);
    case LabelType::i64:
      return forward<S, int64_t>(args);
  }
}

template <class S>
void shared_linear_backward(const SharedLinearBackwardArgs<S>& args) {
  switch (args.labels.type) {
    case LabelType::u8:
      return backward<S, uint8_t>(args);
    case LabelType::i16:
      return backward<S, int16_t>(args);
    case LabelType::i32:
      return backward<S, int32_t>(args);
    case LabelType::i64:
      return backward<S, int64_t>(args);
  }
}

EQUISHARE_INSTANTIATE_STORAGE(shared_linear, SharedLinearArgs)
EQUISHARE_INSTANTIATE_STORAGE(shared_linear_backward, SharedLinearBackwardArgs)

}  // namespace equishare::EQUISHARE_ISA
