// The arrangements of the soft kernels; soft_sharing.cpp picks one for each shape.
//
//   rows     one column: vectors along the groups of a row
//   tiles    one column, small problems, large batches: one problem a lane
//   columns  several columns: blocks of A times blocks of values
#pragma once

#include "cpu/kernels.h"
#include "cpu/tile.h"
#include "cpu/widen.h"

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

}  // namespace equishare::EQUISHARE_ISA
