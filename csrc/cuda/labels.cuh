// Labels of any width.
#pragma once

#include <stdexcept>

#include "cuda/element.cuh"

namespace equishare::cuda {

// f(L{}) with the type of the labels.
template <class F>
void with_label_type(LabelType type, F f) {
  switch (type) {
    case LabelType::u8:
      return f(uint8_t{});
    case LabelType::i16:
      return f(int16_t{});
    case LabelType::i32:
      return f(int32_t{});
    case LabelType::i64:
      return f(int64_t{});
    case LabelType::u4:
      throw std::invalid_argument("labels of two a byte are read on the CPU alone");
  }
}

inline Labels labels_from(const Labels& labels, int64_t first) {
  const int64_t width = labels.type == LabelType::u8    ? 1
                        : labels.type == LabelType::i16 ? 2
                        : labels.type == LabelType::i32 ? 4
                                                        : 8;
  return {static_cast<const char*>(labels.data) + first * width, labels.type, labels.stride};
}

// One label, of a type told at run time: for kernels that do much with each.
__device__ inline int64_t label_at(const Labels& labels, int64_t i) {
  switch (labels.type) {
    case LabelType::u8:
      return static_cast<const uint8_t*>(labels.data)[i];
    case LabelType::i16:
      return static_cast<const int16_t*>(labels.data)[i];
    case LabelType::i32:
      return static_cast<const int32_t*>(labels.data)[i];
    case LabelType::i64:
      return static_cast<const int64_t*>(labels.data)[i];
    case LabelType::u4:
      break;
  }
  return 0;
}

}  // namespace equishare::cuda
