// Weighted least-squares segmentation by dynamic programming over the number of segments.
//
//   F_g(e) = min over b of F_{g-1}(b) + cost(b, e),   cost(b, e) = sum_{b <= k < e} w_k (x_k -
//   mean)^2
//
// The cost satisfies the quadrangle inequality, so the best b grows with e and each layer is found
// by divide and conquer in O(K log K) instead of O(K^2) (Yao 1980).
#include "segmentation.h"

#include <limits>
#include <vector>

namespace equishare {
namespace {

struct Prefix {
  std::vector<double> w, wx, wxx;

  explicit Prefix(const SegmentationArgs& args)
      : w(args.count + 1), wx(args.count + 1), wxx(args.count + 1) {
    for (int64_t k = 0; k < args.count; ++k) {
      const double weight = args.weight[k], value = args.value[k];
      w[k + 1] = w[k] + weight;
      wx[k + 1] = wx[k] + weight * value;
      wxx[k + 1] = wxx[k] + weight * value * value;
    }
  }

  double cost(int64_t begin, int64_t end) const {
    const double sum = wx[end] - wx[begin];
    const double spread = wxx[end] - wxx[begin] - sum * sum / (w[end] - w[begin]);
    return spread > 0 ? spread : 0;
  }
};

// Fills F_g(e) and its best b for low <= e <= high, knowing that the best b lies in [first, last].
void solve_layer(const Prefix& prefix, const double* before, double* layer, int32_t* best,
                 int64_t low, int64_t high, int64_t first, int64_t last) {
  if (low > high) return;
  const int64_t middle = low + (high - low) / 2;
  double least = std::numeric_limits<double>::infinity();
  int64_t argmin = first;
  for (int64_t b = first; b <= last && b < middle; ++b) {
    const double candidate = before[b] + prefix.cost(b, middle);
    if (candidate < least) {
      least = candidate;
      argmin = b;
    }
  }
  layer[middle] = least;
  best[middle] = static_cast<int32_t>(argmin);
  solve_layer(prefix, before, layer, best, low, middle - 1, first, argmin);
  solve_layer(prefix, before, layer, best, middle + 1, high, argmin, last);
}

}  // namespace

void segmentation_path(const SegmentationArgs& args) {
  const int64_t count = args.count, groups = args.max_groups;
  const Prefix prefix(args);
  std::vector<double> before(count + 1), layer(count + 1);
  std::vector<int32_t> best(groups * (count + 1));
  for (int64_t e = 1; e <= count; ++e) before[e] = prefix.cost(0, e);
  args.cost[0] = before[count];
  for (int64_t g = 2; g <= groups; ++g) {
    solve_layer(prefix, before.data(), layer.data(), &best[(g - 1) * (count + 1)], g, count, g - 1,
                count - 1);
    args.cost[g - 1] = layer[count];
    before.swap(layer);
  }
  for (int64_t g = 1; g <= groups; ++g) {
    int64_t end = count;
    for (int64_t s = g; s >= 1; --s) {
      end = s == 1 ? 0 : best[(s - 1) * (count + 1) + end];
      args.start[(g - 1) * groups + s - 1] = static_cast<int32_t>(end);
    }
  }
}

}  // namespace equishare
