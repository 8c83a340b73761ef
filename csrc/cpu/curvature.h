// The precision of shared values, gathered from that of the entries.
#pragma once

#include <cstdint>

namespace equishare {

struct CurvatureArgs {
  const int64_t* label;     // (B, L) 0 <= label < G
  const double* scale;      // (B, L) d
  const double* curvature;  // (L, L) S, or one for each block; symmetric
  bool is_shared;           // whether all blocks have one S
  int64_t blocks;           // B
  int64_t length;           // L
  int64_t groups;           // G
  double* total;  // (G, G) out: sum over b, i, j of d_bi S_ij d_bj at (label_bi, label_bj)
};

void gather_curvature(const CurvatureArgs& args);

}  // namespace equishare
