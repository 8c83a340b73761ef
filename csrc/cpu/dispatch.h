// One table of kernels per instruction set; one of them is picked when the module is imported.
#pragma once

namespace equishare {

struct Kernels {
  const char* name;
};

// Every instruction set that was compiled and that this processor and operating system can run,
// the plainest first. Returns how many.
int available_kernels(const Kernels* (&tables)[3]);

// The last available one, or the one named by `forced`; throws std::runtime_error naming the accepted
// ones when `forced` is unknown or cannot run here. `forced` may be null.
const Kernels& pick_kernels(const char* forced);

}  // namespace equishare
