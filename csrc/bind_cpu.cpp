// Python module equishare._core. Arrays arrive as data_ptr() integers; Python has checked them.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "cpu/dispatch.h"

namespace py = pybind11;
using namespace equishare;

PYBIND11_MODULE(_core, module) {
  static const Kernels& kernels = pick_kernels(std::getenv("EQUISHARE_ISA"));

  module.def("instruction_set", [] { return std::string(kernels.name); });
  module.def("instruction_sets", [] {
    const Kernels* tables[3];
    const int count = available_kernels(tables);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(tables[i]->name);
    return names;
  });
}
