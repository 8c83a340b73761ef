// Python module equishare._cuda: _core's kernels on a CUDA device, by the same names. Where _core
// takes a number of threads, these take a device index, a stream (cudaStream_t as an integer) and a
// workspace of at least `<name>_workspace(*sizes)` bytes; nothing waits for the device but
// label_range. Submodules f32, f64, bf16 and f16 hold the kernels of each storage type.
#include <pybind11/pybind11.h>

#include <utility>

#include "bind.h"
#include "cuda/kernels.h"

namespace py = pybind11;
using namespace equishare;

namespace {

using Release = py::call_guard<py::gil_scoped_release>;

cuda::Queue queue_of(int device, Address stream, Address workspace) {
  return {device, at<void>(stream), at<void>(workspace)};
}

template <class S>
void bind_soft(py::module_& m) {
  using A = Arithmetic<S>;
  const auto workspace = [&m](const char* name, int64_t (*bytes)(const Shape&)) {
    m.def(name,
          [bytes](int64_t b, int64_t k, int64_t g, int64_t c) { return bytes({b, k, g, c, 0}); });
  };
  workspace("soft_gather_workspace", &cuda::soft_gather_workspace<S>);
  workspace("soft_gather_backward_workspace", &cuda::soft_gather_backward_workspace<S>);
  workspace("soft_scatter_workspace", &cuda::soft_scatter_workspace<S>);
  workspace("hard_gather_workspace", &cuda::hard_gather_workspace<S>);
  workspace("hard_scatter_workspace", &cuda::hard_scatter_workspace<S>);
  m.def(
      "soft_gather",
      [](int64_t b, int64_t k, int64_t g, int64_t c, int device, Address stream, Address workspace,
         Address logits, Address values, Address theta, Address stats) {
        cuda::soft_gather<S>(
            {{b, k, g, c, 0}, at<S>(logits), at<S>(values), at<S>(theta), at<A>(stats)},
            queue_of(device, stream, workspace));
      },
      Release());
  m.def(
      "soft_gather_backward",
      [](int64_t b, int64_t k, int64_t g, int64_t c, int device, Address stream, Address workspace,
         Address logits, Address values, Address cotangent, Address theta, Address stats,
         Address grad_logits, Address grad_values) {
        cuda::soft_gather_backward<S>({{b, k, g, c, 0},
                                       at<S>(logits),
                                       at<S>(values),
                                       at<S>(cotangent),
                                       at<S>(theta),
                                       at<A>(stats),
                                       at<S>(grad_logits),
                                       at<S>(grad_values)},
                                      queue_of(device, stream, workspace));
      },
      Release());
  m.def(
      "soft_scatter",
      [](int64_t b, int64_t k, int64_t g, int64_t c, int device, Address stream, Address workspace,
         Address logits, Address x, Address out) {
        cuda::soft_scatter<S>({{b, k, g, c, 0}, at<S>(logits), at<S>(x), at<S>(out)},
                              queue_of(device, stream, workspace));
      },
      Release());
}

template <class T>
void bind_penalties(py::module_& m) {
  m.def("penalties_workspace", [](int64_t b, int64_t k, int64_t g) {
    return cuda::penalties_workspace<T>({b, k, g, 1, 0});
  });
  m.def("penalties_backward_workspace", [](int64_t b, int64_t k, int64_t g) {
    return cuda::penalties_backward_workspace<T>({b, k, g, 1, 0});
  });
  m.def(
      "penalties",
      [](int64_t b, int64_t k, int64_t g, int device, Address stream, Address workspace,
         Address logits, Address values, Address theta, Address entropy, Address column_norm,
         Address stats, Address norms) {
        cuda::penalties<T>({{b, k, g, 1, 0},
                            at<T>(logits),
                            at<T>(values),
                            at<T>(theta),
                            at<T>(entropy),
                            at<T>(column_norm),
                            at<T>(stats),
                            at<T>(norms)},
                           queue_of(device, stream, workspace));
      },
      Release());
  m.def(
      "penalties_backward",
      [](int64_t b, int64_t k, int64_t g, int device, Address stream, Address workspace,
         Address logits, Address values, Address cotangent, Address theta, Address stats,
         Address norms, Address entropy_weight, Address column_norm_weight, Address grad_logits,
         Address grad_values) {
        cuda::penalties_backward<T>({{b, k, g, 1, 0},
                                     at<T>(logits),
                                     at<T>(values),
                                     at<T>(cotangent),
                                     at<T>(theta),
                                     at<T>(stats),
                                     at<T>(norms),
                                     at<T>(entropy_weight),
                                     at<T>(column_norm_weight),
                                     at<T>(grad_logits),
                                     at<T>(grad_values)},
                                    queue_of(device, stream, workspace));
      },
      Release());
}

template <class S>
void bind_hard(py::module_& m) {
  const auto hard = [&m](const char* name, void (*kernel)(const HardArgs<S>&, const cuda::Queue&)) {
    m.def(
        name,
        [kernel](int64_t b, int64_t k, int64_t g, int64_t c, int device, Address stream,
                 Address workspace, Address labels, int width, int64_t stride, Address in,
                 Address out) {
          kernel({{b, k, g, c, 0}, labels_at(labels, width, stride), at<S>(in), at<S>(out)},
                 queue_of(device, stream, workspace));
        },
        Release());
  };
  hard("hard_gather", &cuda::hard_gather<S>);
  hard("hard_scatter", &cuda::hard_scatter<S>);
  m.def("shared_linear_workspace", &cuda::shared_linear_workspace<S>);
  m.def("shared_linear_backward_workspace", &cuda::shared_linear_backward_workspace<S>);
  m.def(
      "shared_linear",
      [](int64_t n, int64_t o, int64_t i, int64_t g, int device, Address stream, Address workspace,
         Address labels, int width, Address x, Address values, Address bias, Address y) {
        cuda::shared_linear<S>({n, o, i, g, 0, labels_at(labels, width, 0), at<S>(x), at<S>(values),
                                at<S>(bias), at<S>(y)},
                               queue_of(device, stream, workspace));
      },
      Release());
  m.def(
      "shared_linear_backward",
      [](int64_t n, int64_t o, int64_t i, int64_t g, int device, Address stream, Address workspace,
         Address labels, int width, Address x, Address values, Address cotangent, Address grad_x,
         Address grad_values) {
        cuda::shared_linear_backward<S>(
            {n, o, i, g, 0, labels_at(labels, width, 0), at<S>(x), at<S>(values), at<S>(cotangent),
             at<S>(grad_x), at<S>(grad_values)},
            queue_of(device, stream, workspace));
      },
      Release());
}

template <class T>
void bind_relax(py::module_& m) {
  const auto sizes = [&m](const char* name, int64_t (*size)(const Shape&)) {
    m.def(name, [size](int64_t b, int64_t k, int64_t g) { return size({b, k, g, 1, 0}); });
  };
  sizes("relax_workspace", &cuda::relax_workspace<T>);
  sizes("relax_moments", &cuda::relax_moments<T>);
  sizes("relax_forward_workspace", &cuda::relax_forward_workspace<T>);
  sizes("relax_backward_workspace", &cuda::relax_backward_workspace<T>);
  sizes("relax_adam_step_workspace", &cuda::relax_backward_workspace<T>);
  m.def(
      "relax_forward",
      [](int64_t b, int64_t k, int64_t g, int device, Address stream, Address scratch,
         Address logits, Address x, Address theta, Address psi, Address colsum, Address entropy,
         Address column_norm, Address workspace) {
        cuda::relax_forward<T>({{b, k, g, 1, 0},
                                at<T>(logits),
                                at<T>(x),
                                at<T>(theta),
                                at<T>(psi),
                                at<T>(colsum),
                                at<T>(entropy),
                                at<T>(column_norm),
                                at<T>(workspace)},
                               queue_of(device, stream, scratch));
      },
      Release());
  m.def(
      "relax_backward",
      [](int64_t b, int64_t k, int64_t g, int device, Address stream, Address scratch,
         Address logits, Address x, Address theta_weight, Address entropy_weight,
         Address column_norm_weight, Address workspace, Address grad_logits) {
        cuda::relax_backward<T>({{b, k, g, 1, 0},
                                 at<T>(x),
                                 at<T>(theta_weight),
                                 at<T>(entropy_weight),
                                 at<T>(column_norm_weight),
                                 at<T>(workspace),
                                 at<T>(logits),
                                 at<T>(grad_logits),
                                 nullptr,
                                 0,
                                 0,
                                 0,
                                 0,
                                 1,
                                 1},
                                queue_of(device, stream, scratch));
      },
      Release());
  m.def(
      "relax_adam_step",
      [](int64_t b, int64_t k, int64_t g, int device, Address stream, Address scratch,
         Address logits, Address x, Address theta_weight, Address entropy_weight,
         Address column_norm_weight, Address workspace, Address moments, double rate, double beta1,
         double beta2, double epsilon, double correction1, double correction2) {
        cuda::relax_backward<T>({{b, k, g, 1, 0},
                                 at<T>(x),
                                 at<T>(theta_weight),
                                 at<T>(entropy_weight),
                                 at<T>(column_norm_weight),
                                 at<T>(workspace),
                                 at<T>(logits),
                                 nullptr,
                                 at<T>(moments),
                                 T(rate),
                                 T(beta1),
                                 T(beta2),
                                 T(epsilon),
                                 T(correction1),
                                 T(correction2)},
                                queue_of(device, stream, scratch));
      },
      Release());
}

template <class S>
void bind_sharing(py::module_ m) {
  bind_soft<S>(m);
  bind_hard<S>(m);
}

template <class T>
void bind_search(py::module_ m) {
  bind_penalties<T>(m);
  bind_relax<T>(m);
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
  module.def("architectures", [] { return EQUISHARE_CUDA_ARCHITECTURES; });
  module.def("label_range_workspace", [](int64_t) { return cuda::label_range_workspace(); });
  module.def(
      "label_range",
      [](int64_t count, int device, Address stream, Address workspace, Address labels, int width) {
        const LabelRange range = cuda::label_range(labels_at(labels, width, 0), count,
                                                   queue_of(device, stream, workspace));
        return std::pair(range.least, range.greatest);
      },
      Release());
  py::module_ f32 = module.def_submodule("f32"), f64 = module.def_submodule("f64");
  bind_sharing<float>(f32);
  bind_search<float>(f32);
  bind_sharing<double>(f64);
  bind_search<double>(f64);
  bind_sharing<bfloat16>(module.def_submodule("bf16"));
  bind_sharing<float16>(module.def_submodule("f16"));
}
