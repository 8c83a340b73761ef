// Python module equishare._core.pool.
#pragma once

#include <pybind11/pybind11.h>

namespace equishare {

void bind_pool(pybind11::module_ module);

}  // namespace equishare
