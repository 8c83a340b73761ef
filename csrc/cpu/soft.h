// The arrangements of the soft kernels; soft_sharing.cpp picks one for each shape.
//
//   rows     one column: vectors along the groups of a row
//   tiles    one column, small problems, large batches: one problem a lane
//   columns  several columns: blocks of A times blocks of values
#pragma once

#include "cpu/kernels.h"
#include "cpu/tile.h"

namespace equishare::EQUISHARE_ISA {

template <class S>
void soft_gather_rows(const SoftGatherArgs<S>& args);
template <class S>
void soft_gather_backward_rows(const SoftGatherBackwardArgs<S>& args);
template <class S>
void soft_scatter_rows(const SoftScatterArgs<S>& args);
template <class S>
void soft_gather_tiles(const SoftGatherArgs<S>& args);
template <class S>
void soft_gather_backward_tiles(const SoftGatherBackwardArgs<S>& args);
template <class S>
void soft_gather_columns(const SoftGatherArgs<S>& args);
template <class S>
void soft_gather_backward_columns(const SoftGatherBackwardArgs<S>& args);
template <class S>
void soft_scatter_columns(const SoftScatterArgs<S>& args);

namespace {

// `count` entries in the precision of the sums: the array itself where it has it, else a copy.
template <class S>
class Widened {
  using T = Arithmetic<S>;

 public:
  Widened(const S* array, int64_t count) : copy_(is_half<S> ? 1 : 0, count) {
    if constexpr (is_half<S>) {
      along_row<T>(count, [&](int64_t i, auto len) {
        store(copy_[0] + i, load(array + i, len, T(0)), len);
      });
      data_ = copy_[0];
    } else {
      data_ = array;
    }
  }
  const T* operator+(int64_t offset) const { return data_ + offset; }

 private:
  Scratch<T> copy_;
  const T* data_;
};

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
