// Labels of any width, drawn.
#pragma once

#include "numbers.h"

namespace {

// Labels of one width below `groups`, in rows: two a byte fill whole bytes of a row, with a label
// out of range behind an odd one.
struct Drawn {
  LabelType type;
  int64_t row;
  std::vector<int64_t> value;
  std::vector<unsigned char> stored;
  Drawn(LabelType type, int64_t count, int64_t groups, int64_t row = 1)
      : type(type), row(row), value(count) {
    if (type == LabelType::u4) groups = groups < 16 ? groups : 16;
    for (int64_t& label : value) label = generator() % groups;
    write();
  }
  void write() {
    if (type == LabelType::u4) {
      stored.clear();
      for (size_t first = 0; first < value.size(); first += row)
        for (int64_t i = 0; i < row; i += 2)
          stored.push_back(value[first + i] | (i + 1 < row ? value[first + i + 1] : 15) << 4);
      return;
    }
    constexpr size_t widths[] = {1, 2, 4, 8};
    const size_t width = widths[static_cast<int>(type)];
    stored.resize(value.size() * width);
    for (size_t i = 0; i < stored.size(); ++i)
      stored[i] = value[i / width] >> 8 * (i % width);  // the lowest byte first
  }
  Labels labels(int64_t stride) const { return {stored.data(), type, stride}; }
};
constexpr LabelType label_types[] = {LabelType::u8, LabelType::i16, LabelType::i32, LabelType::i64};
// Of shared_linear.
constexpr LabelType linear_types[] = {LabelType::u8, LabelType::i16, LabelType::i32, LabelType::i64,
                                      LabelType::u4};

}  // namespace
