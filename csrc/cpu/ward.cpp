// Chains of nearest neighbours along a line (Murtagh 1983).
//
// Two groups are merged at the price w v / (w + v) (mean - mean')^2, w and v their weights. A third
// group between them is nearer to one of the two, so the cheapest merge of all is one of
// neighbours, and merging neighbours never makes a merge with what lies beyond them cheaper. So
// every pair that is cheaper than the pairs on both sides of it is a merge of Ward's method, in
// whatever order such pairs are found. Here they are found by walking to the right while the next
// pair is cheaper: O(K) prices in all.
//
// The groups stand in the arrays in two parts, those up to the walker at the front and those beyond
// it at the back, with a gap where merges have freed places.
#include "ward.h"

#include <limits>

namespace equishare {
namespace {

struct Groups {
  double *mean, *weight;
  int32_t* last;  // entry at the end of each group

  double price(int64_t a, int64_t b) const {
    const double gap = mean[b] - mean[a];
    return weight[a] * weight[b] / (weight[a] + weight[b]) * gap * gap;
  }

  void move(int64_t from, int64_t to) const {
    mean[to] = mean[from];
    weight[to] = weight[from];
    last[to] = last[from];
  }

  void merge(int64_t a, int64_t b) const {
    const double total = weight[a] + weight[b];
    mean[a] += weight[b] / total * (mean[b] - mean[a]);
    weight[a] = total;
    last[a] = last[b];
  }
};

}  // namespace

void ward_heights(const WardArgs& args) {
  const Groups groups{args.value, args.weight, args.last};
  const int64_t count = args.count;
  for (int64_t k = 0; k < count; ++k) groups.last[k] = static_cast<int32_t>(k);
  constexpr double none = std::numeric_limits<double>::infinity();
  int64_t front = 1, back = 1;  // groups 0 ... front - 1 and back ... count - 1
  while (front > 1 || back < count) {
    const double before = front > 1 ? groups.price(front - 2, front - 1) : none;
    const double after = back < count ? groups.price(front - 1, back) : none;
    if (front == 1 || (back < count && after < before)) {
      groups.move(back++, front++);
      continue;
    }
    args.height[groups.last[front - 2]] = before;
    groups.merge(front - 2, front - 1);
    --front;
    // The walk goes on from the group before, unless there is none.
    if (front > 1) groups.move(--front, --back);
  }
}

}  // namespace equishare
