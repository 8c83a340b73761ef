// Python module equishare._cuda: _core's kernels on a CUDA device, by the same names. Where _core
// takes a number of threads, these take a device index, a stream (cudaStream_t as an integer) and a
// workspace of at least `<name>_workspace(*sizes)` bytes; nothing waits for the device but
// label_range. Submodules f32, f64, bf16 and f16 hold the kernels of each storage type.
#include <string>
#include <utility>

#include "bind.h"
#include "cuda/kernels.h"

namespace py = pybind11;
using namespace equishare;

namespace {

cuda::Queue queue_of(int device, Address stream, Address workspace) {
  return {.device = device, .stream = Array{stream}, .workspace = Array{workspace}};
}

void bind_size(py::module_& m, const std::string& name, int64_t (*size)(const Shape&)) {
  m.def(name.c_str(),
        [size](int64_t b, int64_t k, int64_t g, int64_t c) { return size({b, k, g, c, 0}); });
}
using FourSizes = int64_t(int64_t, int64_t, int64_t, int64_t);
void bind_size(py::module_& m, const std::string& name, FourSizes* size) {
  m.def(name.c_str(), size);
}

template <int arrays, int numbers = 0, class Args, class Sizes>
void bind(py::module_& m, const std::string& name, void (*kernel)(const Args&, const cuda::Queue&),
          Sizes* workspace_bytes) {
  bind_size(m, name + "_workspace", workspace_bytes);
  with_parameters<Args, arrays, numbers>([&](auto... types) {
    m.def(
        name.c_str(),
        [kernel](int64_t a, int64_t b, int64_t c, int64_t d, int device, Address stream,
                 Address workspace, decltype(types)... parameters) {
          kernel(arguments<Args>(a, b, c, d, 0, parameters...),
                 queue_of(device, stream, workspace));
        },
        Release());
  });
}

template <class S>
void bind_sharing(py::module_ m) {
  using namespace cuda;
  bind<4>(m, "soft_gather", &soft_gather<S>, &soft_gather_workspace<S>);
  bind<7>(m, "soft_gather_backward", &soft_gather_backward<S>, &soft_gather_backward_workspace<S>);
  bind<3>(m, "soft_scatter", &soft_scatter<S>, &soft_scatter_workspace<S>);
  bind<2>(m, "hard_gather", &hard_gather<S>, &hard_gather_workspace<S>);
  bind<2>(m, "hard_scatter", &hard_scatter<S>, &hard_scatter_workspace<S>);
  bind<4>(m, "shared_linear", &shared_linear<S>, &shared_linear_workspace<S>);
  bind<5>(m, "shared_linear_backward", &shared_linear_backward<S>,
          &shared_linear_backward_workspace<S>);
}

template <class T>
void bind_search(py::module_ m) {
  using namespace cuda;
  bind<7>(m, "penalties", &penalties<T>, &penalties_workspace<T>);
  bind<10>(m, "penalties_backward", &penalties_backward<T>, &penalties_backward_workspace<T>);
  bind<8>(m, "relax_forward", &relax_forward<T>, &relax_forward_workspace<T>);
  bind<8, 6>(m, "relax_backward", &relax_backward<T>, &relax_backward_workspace<T>);
  bind_size(m, "relax_workspace", &relax_workspace<T>);
  bind_size(m, "relax_moments", &relax_moments<T>);
}

}  // namespace

// Kernels are queued without state of their own between calls: no need of the lock of the
// interpreter.
PYBIND11_MODULE(_cuda, module, py::mod_gil_not_used()) {
  // As CMake writes them: "80-real" is machine code, "90-virtual" PTX, "90" both.
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
