// Python module equishare._core. Arrays arrive as data_ptr() integers, 0 for none; Python has
// checked them. Submodules f32, f64, bf16 and f16 hold the kernels of each storage type, pool the
// memory of large outputs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "bind.h"
#include "bind_pool.h"
#include "cpu/dispatch.h"
#include "cpu/segmentation.h"

namespace py = pybind11;
using namespace equishare;

namespace {

using Release = py::call_guard<py::gil_scoped_release>;

template <class T>
void bind_soft(py::module_& m, const SharingKernels<T>& kernels) {
  m.def(
      "soft_gather",
      [&](int64_t b, int64_t k, int64_t g, int64_t c, int threads, Address logits, Address values,
          Address theta, Address stats) {
        kernels.soft_gather({{b, k, g, c, threads},
                             at<T>(logits),
                             at<T>(values),
                             at<T>(theta),
                             at<Arithmetic<T>>(stats)});
      },
      Release());
  m.def(
      "soft_gather_backward",
      [&](int64_t b, int64_t k, int64_t g, int64_t c, int threads, Address logits, Address values,
          Address cotangent, Address theta, Address stats, Address grad_logits,
          Address grad_values) {
        kernels.soft_gather_backward({{b, k, g, c, threads},
                                      at<T>(logits),
                                      at<T>(values),
                                      at<T>(cotangent),
                                      at<T>(theta),
                                      at<Arithmetic<T>>(stats),
                                      at<T>(grad_logits),
                                      at<T>(grad_values)});
      },
      Release());
  m.def(
      "soft_scatter",
      [&](int64_t b, int64_t k, int64_t g, int64_t c, int threads, Address logits, Address x,
          Address out) {
        kernels.soft_scatter({{b, k, g, c, threads}, at<T>(logits), at<T>(x), at<T>(out)});
      },
      Release());
}

template <class T>
void bind_penalties(py::module_& m, const SearchKernels<T>& kernels) {
  m.def(
      "penalties",
      [&](int64_t b, int64_t k, int64_t g, int threads, Address logits, Address values,
          Address theta, Address entropy, Address column_norm, Address stats, Address norms) {
        kernels.penalties({{b, k, g, 1, threads},
                           at<T>(logits),
                           at<T>(values),
                           at<T>(theta),
                           at<T>(entropy),
                           at<T>(column_norm),
                           at<T>(stats),
                           at<T>(norms)});
      },
      Release());
  m.def(
      "penalties_backward",
      [&](int64_t b, int64_t k, int64_t g, int threads, Address logits, Address values,
          Address cotangent, Address theta, Address stats, Address norms, Address entropy_weight,
          Address column_norm_weight, Address grad_logits, Address grad_values) {
        kernels.penalties_backward({{b, k, g, 1, threads},
                                    at<T>(logits),
                                    at<T>(values),
                                    at<T>(cotangent),
                                    at<T>(theta),
                                    at<T>(stats),
                                    at<T>(norms),
                                    at<T>(entropy_weight),
                                    at<T>(column_norm_weight),
                                    at<T>(grad_logits),
                                    at<T>(grad_values)});
      },
      Release());
}

// These return false if a label is out of range.
template <class T>
void bind_hard(py::module_& m, const SharingKernels<T>& kernels) {
  const auto hard = [&m](const char* name, bool (*const& kernel)(const HardArgs<T>&)) {
    m.def(
        name,
        [&kernel](int64_t b, int64_t k, int64_t g, int64_t c, int threads, Address labels,
                  int width, int64_t stride, Address in, Address out) {
          return kernel(
              {{b, k, g, c, threads}, labels_at(labels, width, stride), at<T>(in), at<T>(out)});
        },
        Release());
  };
  hard("hard_gather", kernels.hard_gather);
  hard("hard_scatter", kernels.hard_scatter);
  m.def(
      "shared_linear",
      [&](int64_t n, int64_t o, int64_t i, int64_t g, int threads, Address labels, int width,
          Address x, Address values, Address bias, Address y) {
        return kernels.shared_linear({n, o, i, g, threads, labels_at(labels, width, 0), at<T>(x),
                                      at<T>(values), at<T>(bias), at<T>(y)});
      },
      Release());
  m.def(
      "shared_linear_backward",
      [&](int64_t n, int64_t o, int64_t i, int64_t g, int threads, Address labels, int width,
          Address x, Address values, Address cotangent, Address grad_x, Address grad_values) {
        return kernels.shared_linear_backward({n, o, i, g, threads, labels_at(labels, width, 0),
                                               at<T>(x), at<T>(values), at<T>(cotangent),
                                               at<T>(grad_x), at<T>(grad_values)});
      },
      Release());
}

// The vector functions themselves, so that their errors can be measured.
template <class T>
void bind_functions(py::module_& m, const SearchKernels<T>& kernels) {
  const auto bind = [&m](const char* name, void (*const& function)(const FunctionArgs<T>&)) {
    m.def(
        name,
        [&function](int64_t count, Address in, Address out) {
          function({count, at<T>(in), at<T>(out)});
        },
        Release());
  };
  bind("exp2", kernels.exp2);
  bind("log", kernels.log);
}

template <class T>
void bind_relax(py::module_& m, const SearchKernels<T>& kernels) {
  m.def("relax_workspace",
        [&](int64_t b, int64_t k, int64_t g) { return kernels.relax_workspace({b, k, g, 1, 1}); });
  m.def("relax_moments",
        [&](int64_t b, int64_t k, int64_t g) { return kernels.relax_moments({b, k, g, 1, 1}); });
  m.def(
      "relax_forward",
      [&](int64_t b, int64_t k, int64_t g, int threads, Address logits, Address x, Address theta,
          Address psi, Address colsum, Address entropy, Address column_norm, Address workspace) {
        kernels.relax_forward({{b, k, g, 1, threads},
                               at<T>(logits),
                               at<T>(x),
                               at<T>(theta),
                               at<T>(psi),
                               at<T>(colsum),
                               at<T>(entropy),
                               at<T>(column_norm),
                               at<T>(workspace)});
      },
      Release());
  m.def(
      "relax_backward",
      [&](int64_t b, int64_t k, int64_t g, int threads, Address logits, Address x,
          Address theta_weight, Address entropy_weight, Address column_norm_weight,
          Address workspace, Address grad_logits) {
        kernels.relax_backward({{b, k, g, 1, threads},
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
                                1});
      },
      Release());
  m.def(
      "relax_adam_step",
      [&](int64_t b, int64_t k, int64_t g, int threads, Address logits, Address x,
          Address theta_weight, Address entropy_weight, Address column_norm_weight,
          Address workspace, Address moments, double rate, double beta1, double beta2,
          double epsilon, double correction1, double correction2) {
        kernels.relax_backward({{b, k, g, 1, threads},
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
                                T(correction2)});
      },
      Release());
}

template <class S>
py::module_ bind_sharing(py::module_ m, const SharingKernels<S>& kernels) {
  bind_soft(m, kernels);
  bind_hard(m, kernels);
  return m;
}

template <class T>
void bind_search(py::module_ m, const SearchKernels<T>& kernels) {
  bind_penalties(m, kernels);
  bind_functions(m, kernels);
  bind_relax(m, kernels);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  static const InstructionSet& chosen = pick_instruction_set(std::getenv("EQUISHARE_ISA"));

  module.def("instruction_set", [] { return std::string(chosen.name); });
  module.def("instruction_sets", [] {
    const InstructionSet* sets[3];
    const int count = available_instruction_sets(sets);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(sets[i]->name);
    return names;
  });
  module.def(
      "label_range",
      [](Address labels, int width, int64_t count) {
        const LabelRange range = chosen.label_range(labels_at(labels, width, 0), count);
        return std::pair(range.least, range.greatest);
      },
      Release());
  module.def(
      "segmentation_path",
      [](int64_t count, int64_t max_groups, Address value, Address weight, Address start,
         Address cost) {
        segmentation_path({at<const double>(value), at<const double>(weight), count, max_groups,
                           at<int32_t>(start), at<double>(cost)});
      },
      Release());
  bind_pool(module.def_submodule("pool"));
  bind_search(bind_sharing(module.def_submodule("f32"), chosen.f32), chosen.search_f32);
  bind_search(bind_sharing(module.def_submodule("f64"), chosen.f64), chosen.search_f64);
  bind_sharing(module.def_submodule("bf16"), chosen.bf16);
  bind_sharing(module.def_submodule("f16"), chosen.f16);
}
