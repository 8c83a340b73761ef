// A^T H A for the one-hot assignment A of labels and a block-diagonal, symmetric H. Pairs i > j of
// a block are added once, and the sum is mirrored in the end.
#include "curvature.h"

#include <algorithm>

namespace equishare {

void gather_curvature(const CurvatureArgs& args) {
  const int64_t length = args.length, groups = args.groups;
  std::fill_n(args.total, groups * groups, 0.0);
  for (int64_t b = 0; b < args.blocks; ++b) {
    const int64_t* label = args.label + b * length;
    const double* scale = args.scale + b * length;
    const double* curvature = args.curvature + (args.is_shared ? 0 : b * length * length);
    for (int64_t i = 0; i < length; ++i) {
      double* row = args.total + label[i] * groups;
      const double* own = curvature + i * length;
      for (int64_t j = 0; j < i; ++j) row[label[j]] += scale[i] * own[j] * scale[j];
      row[label[i]] += 0.5 * scale[i] * own[i] * scale[i];
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t h = 0; h <= g; ++h) {
      const double sum = args.total[g * groups + h] + args.total[h * groups + g];
      args.total[g * groups + h] = args.total[h * groups + g] = sum;
    }
  }
}

}  // namespace equishare
