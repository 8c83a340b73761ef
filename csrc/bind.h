// What the bindings share: arrays arrive as data_ptr() integers, 0 for none.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "args.h"

namespace equishare {

using Address = uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// `width` is the bytes of one label.
inline Labels labels_at(Address data, int width, int64_t stride) {
  switch (width) {
    case 1:
      return {at<const void>(data), LabelType::u8, stride};
    case 2:
      return {at<const void>(data), LabelType::i16, stride};
    case 4:
      return {at<const void>(data), LabelType::i32, stride};
    case 8:
      return {at<const void>(data), LabelType::i64, stride};
  }
  throw std::invalid_argument("labels must be 1, 2, 4 or 8 bytes wide, got " +
                              std::to_string(width));
}

}  // namespace equishare
