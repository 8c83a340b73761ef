// Labels of any width, drawn.
#pragma once

#include "numbers.h"

namespace {

// Labels of one width below `groups`.
struct Drawn {
  LabelType type;
  std::vector<int64_t> value;
  std::vector<unsigned char> stored;
  Drawn(LabelType type, int64_t count, int64_t groups) : type(type), value(count) {
    for (int64_t& label : value) label = generator() % groups;
    write();
  }
  void write() {
    constexpr size_t widths[] = {1, 2, 4, 8};
    const size_t width = widths[static_cast<int>(type)];
    stored.resize(value.size() * width);
    for (size_t i = 0; i < stored.size(); ++i)
      stored[i] = value[i / width] >> 8 * (i % width);  // the lowest byte first
  }
  Labels labels(int64_t stride) const { return {stored.data(), type, stride}; }
};
constexpr LabelType label_types[] = {LabelType::u8, LabelType::i16, LabelType::i32, LabelType::i64};

}  // namespace
