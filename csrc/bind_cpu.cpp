// Python module equishare._core; Python has checked the arguments. Submodules f32, f64, bf16 and
// f16 hold the kernels of each storage type, pool the memory of large outputs.
#include <pybind11/stl.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "bind.h"
#include "bind_pool.h"
#include "cpu/curvature.h"
#include "cpu/dispatch.h"
#include "cpu/segmentation.h"
#include "cpu/ward.h"
#include "without_cuda.h"

namespace py = pybind11;
using namespace equishare;

namespace {

// A kernel runs on a number of threads. Those that read labels return false if one is out of range.
template <int arrays, int numbers = 0, class Args, class Result>
void bind(py::module_& m, const char* name, Result (*const& kernel)(const Args&)) {
  with_parameters<Args, arrays, numbers>([&](auto... types) {
    m.def(
        name,
        [&kernel](int64_t a, int64_t b, int64_t c, int64_t d, int threads,
                  decltype(types)... parameters) {
          return kernel(arguments<Args>(a, b, c, d, threads, parameters...));
        },
        Release());
  });
}

void bind_size(py::module_& m, const char* name, int64_t (*const& size)(const Shape&)) {
  m.def(name,
        [&size](int64_t b, int64_t k, int64_t g, int64_t c) { return size({b, k, g, c, 1}); });
}

// The vector functions themselves, so that their errors can be measured.
template <class T>
void bind_function(py::module_& m, const char* name, void (*const& f)(const FunctionArgs<T>&)) {
  m.def(
      name,
      [&f](int64_t count, Address in, Address out) {
        f({.count = count, .in = Array{in}, .out = Array{out}});
      },
      Release());
}

template <class S>
py::module_ bind_sharing(py::module_ m, const SharingKernels<S>& kernels) {
  bind<4>(m, "soft_gather", kernels.soft_gather);
  bind<7>(m, "soft_gather_backward", kernels.soft_gather_backward);
  bind<3>(m, "soft_scatter", kernels.soft_scatter);
  bind<2>(m, "hard_gather", kernels.hard_gather);
  bind<2>(m, "hard_scatter", kernels.hard_scatter);
  bind<4>(m, "shared_linear", kernels.shared_linear);
  bind<5>(m, "shared_linear_backward", kernels.shared_linear_backward);
  return m;
}

template <class T>
void bind_search(py::module_ m, const SearchKernels<T>& kernels) {
  bind<7>(m, "penalties", kernels.penalties);
  bind<10>(m, "penalties_backward", kernels.penalties_backward);
  bind<8>(m, "relax_forward", kernels.relax_forward);
  bind<8, 6>(m, "relax_backward", kernels.relax_backward);
  bind_size(m, "relax_workspace", kernels.relax_workspace);
  bind_size(m, "relax_moments", kernels.relax_moments);
  bind_function(m, "exp", kernels.exp);
  bind_function(m, "log", kernels.log);
}

}  // namespace

// Free-threaded Python need not bring its lock back: kernels keep no state between calls and have
// run without the lock all along (Release), the instruction set is chosen once, and the pool of
// outputs has a lock of its own.
PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  static const InstructionSet& chosen = pick_instruction_set(std::getenv("EQUISHARE_ISA"));

  module.def("without_cuda", [] { return without_cuda; });  // why; empty with CUDA kernels
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
        segmentation_path({.value = Array{value},
                           .weight = Array{weight},
                           .count = count,
                           .max_groups = max_groups,
                           .start = Array{start},
                           .cost = Array{cost}});
      },
      Release());
  module.def(
      "ward_heights",
      [](int64_t count, Address value, Address weight, Address last, Address height) {
        ward_heights({.value = Array{value},
                      .weight = Array{weight},
                      .count = count,
                      .last = Array{last},
                      .height = Array{height}});
      },
      Release());
  module.def(
      "gather_curvature",
      [](int64_t blocks, int64_t length, int64_t groups, bool is_shared, Address label,
         Address scale, Address curvature, Address total) {
        gather_curvature({.label = Array{label},
                          .scale = Array{scale},
                          .curvature = Array{curvature},
                          .is_shared = is_shared,
                          .blocks = blocks,
                          .length = length,
                          .groups = groups,
                          .total = Array{total}});
      },
      Release());
  bind_pool(module.def_submodule("pool"));
  bind_search(bind_sharing(module.def_submodule("f32"), chosen.f32), chosen.search_f32);
  bind_search(bind_sharing(module.def_submodule("f64"), chosen.f64), chosen.search_f64);
  bind_sharing(module.def_submodule("bf16"), chosen.bf16);
  bind_sharing(module.def_submodule("f16"), chosen.f16);
}
