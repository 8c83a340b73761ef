// The vector functions of the kernels over an array, for the measurement of their errors.
#include "cpu/kernels.h"
#include "cpu/simd.h"

namespace equishare::EQUISHARE_ISA {

template <class T>
void exp_of(const FunctionArgs<T>& args) {
  along_row<T>(args.count, [&](int64_t i, auto len) {
    store(args.out + i, exp_vec(load(args.in + i, len, T(0))), len);
  });
}

template <class T>
void log_of(const FunctionArgs<T>& args) {
  along_row<T>(args.count, [&](int64_t i, auto len) {
    store(args.out + i, log_vec<T>(load(args.in + i, len, T(1))), len);
  });
}

EQUISHARE_INSTANTIATE(exp_of, FunctionArgs)
EQUISHARE_INSTANTIATE(log_of, FunctionArgs)

}  // namespace equishare::EQUISHARE_ISA
