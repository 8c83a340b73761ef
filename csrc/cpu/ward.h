// Ward's merges of sorted numbers: only neighbours are ever merged.
#pragma once

#include <cstdint>

namespace equishare {

struct WardArgs {
  double* value;   // (count) sorted ascending; overwritten
  double* weight;  // (count) positive; overwritten
  int64_t count;   // K >= 1
  int32_t* last;   // (count) scratch
  double*
      height;  // (count - 1) out: price of the merge that removes the boundary between k and k + 1
};

void ward_heights(const WardArgs& args);

}  // namespace equishare
