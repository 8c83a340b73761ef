// Stored numbers in the type that kernels compute with: the numbers themselves, or halves widened
// and rounded. What can be widened beforehand is compiled for float and double alone.
#pragma once

#include "cpu/half.h"
#include "cpu/work.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// `x` itself, or `buffer` filled from halves.
template <class S>
EQUISHARE_INLINE const Arithmetic<S>* widened_block(const S* x, int64_t count,
                                                    Arithmetic<S>* buffer) {
  if constexpr (is_half<S>) {
    along_row<float>(count,
                     [&](int64_t k, auto len) { store(buffer + k, load(x + k, len, 0.0f), len); });
    return buffer;
  } else {
    return x;
  }
}

// An array of the caller, which outlives it.
template <class S>
class Widened {
 public:
  Widened(const S* x, int64_t count)
      : buffer_(1, is_half<S> ? count : 0), data(widened_block(x, count, buffer_[0])) {}

 private:
  Scratch<Arithmetic<S>> buffer_;

 public:
  const Arithmetic<S>* const data;
};

// An output: the array itself, or a buffer that is rounded into it in the end.
template <class S>
class Rounded {
  using T = Arithmetic<S>;

 public:
  Rounded(S* array, int64_t count)
      : array_(array), count_(count), buffer_(is_half<S> && array ? 1 : 0, count) {}
  T* data() const {
    if constexpr (is_half<S>)
      return array_ ? buffer_[0] : nullptr;
    else
      return array_;
  }
  void finish() const {
    if constexpr (is_half<S>)
      if (array_)
        along_row<T>(count_, [&](int64_t i, auto len) {
          store(array_ + i, load(buffer_[0] + i, len, T(0)), len);
        });
  }

 private:
  S* array_;
  int64_t count_;
  Scratch<T> buffer_;
};

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
