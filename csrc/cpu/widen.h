// Stored numbers in the type that kernels compute with: the numbers themselves, or halves widened.
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

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
