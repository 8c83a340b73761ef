// Runs every kernel once or more with a thread of the operating system for each thread of a block,
// for a race detector to watch: built with -fsanitize=thread. Results are looked at elsewhere.
//
//   races            all barriers
//   races FILE:LINE  without the barrier there; the name may be the end of a path
//   races probe      nothing, to see whether the detector starts
#include <cstring>
#include <vector>

#include "cuda/kernels.h"
#include "emulation.h"

using namespace equishare;

namespace {

template <class T>
std::vector<T> numbers(int64_t count, unsigned seed) {
  std::vector<T> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    out[i] = T(double(seed >> 8) / double(1 << 24) * 4 - 2);
  }
  return out;
}

std::vector<uint8_t> labels(int64_t count, int64_t groups) {
  std::vector<uint8_t> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = uint8_t(i * 2654435761u % size_t(groups));
  return out;
}

template <class Call>
void with_scratch(int64_t bytes, Call call) {
  std::vector<double> scratch(size_t(bytes) / 8 + 2);
  call(cuda::Queue{0, nullptr, scratch.data()});
}

using T = float;

void soft(Shape s) {
  const auto z = numbers<T>(s.batch * s.rows * s.groups, 1);
  const auto v = numbers<T>(s.batch * s.groups * s.columns, 2);
  const auto u = numbers<T>(s.batch * s.rows * s.columns, 3);
  std::vector<T> theta(u.size()), stats(size_t(s.batch * s.rows * 2)), dz(z.size()), dv(v.size());
  with_scratch(cuda::soft_gather_workspace<T>(s), [&](cuda::Queue q) {
    cuda::soft_gather<T>({s, z.data(), v.data(), theta.data(), stats.data()}, q);
  });
  with_scratch(cuda::soft_gather_backward_workspace<T>(s), [&](cuda::Queue q) {
    cuda::soft_gather_backward<T>(
        {s, z.data(), v.data(), u.data(), theta.data(), stats.data(), dz.data(), dv.data()}, q);
  });
  with_scratch(cuda::soft_scatter_workspace<T>(s), [&](cuda::Queue q) {
    cuda::soft_scatter<T>({s, z.data(), u.data(), dv.data()}, q);
  });
}

void search(Shape s) {
  auto z = numbers<T>(s.batch * s.rows * s.groups, 1);
  const auto v = numbers<T>(s.batch * s.groups, 2), x = numbers<T>(s.batch * s.rows, 3);
  const auto u = numbers<T>(s.batch * s.rows, 4), w = numbers<T>(s.batch, 5);
  std::vector<T> theta(x.size()), stats(3 * x.size()), norms(v.size()), psi(v.size()), dz(z.size()),
      dv(v.size()), colsum(v.size()), entropy(w.size()), norm(w.size());
  with_scratch(cuda::penalties_workspace<T>(s), [&](cuda::Queue q) {
    cuda::penalties<T>({s, z.data(), v.data(), theta.data(), entropy.data(), norm.data(),
                        stats.data(), norms.data()},
                       q);
  });
  with_scratch(cuda::penalties_backward_workspace<T>(s), [&](cuda::Queue q) {
    cuda::penalties_backward<T>({s, z.data(), v.data(), u.data(), theta.data(), stats.data(),
                                 norms.data(), w.data(), w.data(), dz.data(), dv.data()},
                                q);
  });
  std::vector<T> workspace(size_t(cuda::relax_workspace<T>(s)));
  std::vector<T> moments(size_t(cuda::relax_moments<T>(s)));
  with_scratch(cuda::relax_forward_workspace<T>(s), [&](cuda::Queue q) {
    cuda::relax_forward<T>({s, z.data(), x.data(), theta.data(), psi.data(), colsum.data(),
                            entropy.data(), norm.data(), workspace.data()},
                           q);
  });
  with_scratch(cuda::relax_backward_workspace<T>(s), [&](cuda::Queue q) {
    RelaxBackwardArgs<T> args{
        s,         z.data(), x.data(), u.data(), w.data(), w.data(), workspace.data(),
        dz.data(), nullptr,  0.1f,     0.9f,     0.99f,    1e-8f,    0.1f,
        0.01f};
    cuda::relax_backward<T>(args, q);
    args.moments = moments.data();
    cuda::relax_backward<T>(args, q);
  });
}

void hard(Shape s) {
  const auto l = labels(s.batch * s.rows, s.groups);
  const auto x = numbers<T>(s.batch * s.rows * s.columns, 1);
  std::vector<T> sums(size_t(s.batch * s.groups * s.columns)), out(x.size());
  const Labels of{l.data(), LabelType::u8, s.rows};
  with_scratch(cuda::hard_scatter_workspace<T>(s), [&](cuda::Queue q) {
    cuda::hard_scatter<T>({s, of, x.data(), sums.data()}, q);
    cuda::hard_gather<T>({s, of, sums.data(), out.data()}, q);
  });
  with_scratch(cuda::label_range_workspace(),
               [&](cuda::Queue q) { cuda::label_range(of, int64_t(l.size()), q); });
}

void linear(int64_t n, int64_t o, int64_t i, int64_t g) {
  const auto l = labels(o * i, g);
  const auto x = numbers<T>(n * i, 1), v = numbers<T>(g, 2), u = numbers<T>(n * o, 3);
  std::vector<T> y(u.size()), dx(x.size()), dv(v.size());
  const Labels of{l.data(), LabelType::u8, 0};
  cuda::shared_linear<T>({n, o, i, g, 0, of, x.data(), v.data(), nullptr, y.data()}, {});
  with_scratch(cuda::shared_linear_backward_workspace<T>(n, o, i, g), [&](cuda::Queue q) {
    cuda::shared_linear_backward<T>(
        {n, o, i, g, 0, of, x.data(), v.data(), u.data(), dx.data(), dv.data()}, q);
  });
}

void run_all() {
  soft({1, 40, 40, 1, 0});   // several rows of threads
  soft({1, 2, 1100, 1, 0});  // a block a row
  soft({1, 4, 20, 3, 0});    // products
  search({1, 20, 12, 1, 0});
  search({1, 2, 1100, 1, 0});
  hard({1, 300, 7, 1, 0});
  hard({1, 100, 100, 1, 0});
  hard({2, 20, 3, 5, 0});
  linear(2, 4, 32, 9);
  linear(9, 4, 33, 100);
}

}  // namespace

int main(int count, char** values) {
  if (count > 1 && std::strcmp(values[1], "probe") == 0) return 0;
  if (count > 1) emulation_leave_out(values[1]);
  emulation_use_threads(1);
  run_all();
}
