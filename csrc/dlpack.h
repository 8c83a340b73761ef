// The part of DLPack 0.8 that hands an array on the CPU to another library, as its specification
// lays it out (https://dmlc.github.io/dlpack/latest/c_api.html).
#pragma once

#include <cstdint>

namespace equishare::dlpack {

struct Device {
  int32_t type, id;
};
constexpr Device cpu = {1, 0};

struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
enum Code : uint8_t { floating = 2, brain_floating = 4 };

struct Tensor {
  void* data;
  Device device;
  int32_t dimensions;
  DataType type;
  int64_t *shape, *strides;  // strides null: contiguous
  uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

// Name of a capsule that holds a ManagedTensor nobody has taken yet.
constexpr const char* unclaimed = "dltensor";

}  // namespace equishare::dlpack
