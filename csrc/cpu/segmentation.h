// Exact optimal segmentations of sorted numbers: the merge path of shared means.
#pragma once

#include <cstdint>

namespace equishare {

struct SegmentationArgs {
  const double* value;   // (count) sorted ascending
  const double* weight;  // (count) positive
  int64_t count;         // K
  int64_t max_groups;    // G, 1 <= G <= K
  int32_t* start;        // (G, G) out: row g - 1 holds the g first entries of the best g segments
  double* cost;          // (G) out: least sum over segments of sum_k w_k (x_k - mean)^2
};

void segmentation_path(const SegmentationArgs& args);

}  // namespace equishare
