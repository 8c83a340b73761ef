// Arrays from the pool of outputs, as DLPack capsules.
#include "bind_pool.h"

#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "cpu/block_pool.h"
#include "dlpack.h"

namespace py = pybind11;

namespace equishare {
namespace {

struct Output {
  dlpack::ManagedTensor managed;
  std::vector<int64_t> shape;
  size_t size;
};

// Called by whichever thread drops the last reference, with or without the interpreter's lock.
void release(dlpack::ManagedTensor* managed) {
  const std::unique_ptr<Output> output(static_cast<Output*>(managed->context));
  output_pool().give_back(managed->tensor.data, output->size);
}

void release_unclaimed(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, dlpack::unclaimed)) return;
  release(static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule, dlpack::unclaimed)));
}

py::capsule pooled(std::vector<int64_t> shape, int code, int bits) {
  auto output = std::make_unique<Output>();
  output->shape = std::move(shape);
  output->size = bits / 8;
  for (const int64_t length : output->shape) output->size *= length;
  output->managed = {{output_pool().take(output->size),
                      dlpack::cpu,
                      static_cast<int32_t>(output->shape.size()),
                      {static_cast<uint8_t>(code), static_cast<uint8_t>(bits), 1},
                      output->shape.data(),
                      nullptr,
                      0},
                     output.get(),
                     release};
  auto capsule = py::capsule(&output->managed, dlpack::unclaimed, release_unclaimed);
  output.release();  // the capsule's now
  return capsule;
}

}  // namespace

void bind_pool(py::module_ module) {
  output_pool();  // now, while no other thread can be about to fork
  module.def("take", &pooled);
  module.def("empty", [] { output_pool().empty(); });
  module.def("held", [] { return output_pool().held(); });
  module.attr("floating") = static_cast<int>(dlpack::floating);
  module.attr("brain_floating") = static_cast<int>(dlpack::brain_floating);
}

}  // namespace equishare
