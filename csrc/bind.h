// What the bindings share. A kernel is bound under its name, as a function of four sizes, of where
// it runs, of its labels if it has any (address, bytes of one, stride), and of its arrays and
// numbers in the order of its arguments. Arrays arrive as data_ptr() integers, 0 for none.
#pragma once

#include <pybind11/pybind11.h>

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "args.h"

namespace equishare {

using Address = uintptr_t;
using Release = pybind11::call_guard<pybind11::gil_scoped_release>;

// An array or a number that a member takes as its own type.
struct Array {
  Address address;
  template <class T>
  operator T*() const {
    return reinterpret_cast<T*>(address);
  }
};
struct Number {
  double value;
  template <std::floating_point T>
  operator T() const {
    return static_cast<T>(value);
  }
};
inline Array given(Address address) { return {address}; }
inline Number given(double value) { return {value}; }

inline Labels labels_at(Address data, int width, int64_t stride) {
  switch (width) {
    case 0:
      return {Array{data}, LabelType::u4, stride};
    case 1:
      return {Array{data}, LabelType::u8, stride};
    case 2:
      return {Array{data}, LabelType::i16, stride};
    case 4:
      return {Array{data}, LabelType::i32, stride};
    case 8:
      return {Array{data}, LabelType::i64, stride};
  }
  throw std::invalid_argument("labels must be 1, 2, 4 or 8 bytes wide, or 0: two a byte, got " +
                              std::to_string(width));
}

template <class Args>
concept Labelled = requires(Args args) { args.labels; };

template <class Args, class... Rest>
Args filled(int64_t a, int64_t b, int64_t c, int64_t d, int threads, Rest... rest) {
  if constexpr (requires(Args args) { args.shape; }) {
    return {{a, b, c, d, threads}, rest...};
  } else {
    return {a, b, c, d, threads, rest...};
  }
}

// Calls f with values of the Python types of a kernel's labels, arrays and numbers.
template <class Args, int arrays, int numbers, class F, class... Types>
void with_parameters(F f, Types... types) {
  if constexpr (numbers > 0) {
    with_parameters<Args, arrays, numbers - 1>(f, double(), types...);
  } else if constexpr (arrays > 0) {
    with_parameters<Args, arrays - 1, 0>(f, Address(), types...);
  } else if constexpr (Labelled<Args>) {
    f(Address(), int(), int64_t(), types...);
  } else {
    f(types...);
  }
}

// The arguments of a kernel from those of its binding.
template <class Args, class... Parameters>
Args arguments(int64_t a, int64_t b, int64_t c, int64_t d, int threads, Parameters... parameters) {
  if constexpr (Labelled<Args>) {
    return [&](Address labels, int width, int64_t stride, auto... rest) {
      return filled<Args>(a, b, c, d, threads, labels_at(labels, width, stride), given(rest)...);
    }(parameters...);
  } else {
    return filled<Args>(a, b, c, d, threads, given(parameters)...);
  }
}

}  // namespace equishare
