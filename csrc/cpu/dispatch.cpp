#include "cpu/dispatch.h"

#include <stdexcept>
#include <string>

namespace equishare {
namespace baseline {
extern const Kernels kernels;
}
#ifdef EQUISHARE_X86_64
namespace v3 {
extern const Kernels kernels;
}
namespace v4 {
extern const Kernels kernels;
}
#endif

int available_kernels(const Kernels* (&tables)[3]) {
  int count = 0;
  tables[count++] = &baseline::kernels;
#ifdef EQUISHARE_X86_64
  // These ask the operating system too: wide registers it does not save count as absent.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v3")) tables[count++] = &v3::kernels;
  if (__builtin_cpu_supports("x86-64-v4")) tables[count++] = &v4::kernels;
#endif
  return count;
}

const Kernels& pick_kernels(const char* forced) {
  const Kernels* tables[3];
  const int count = available_kernels(tables);
  if (forced == nullptr || *forced == '\0') return *tables[count - 1];
  std::string accepted;
  for (int i = 0; i < count; ++i) {
    if (std::string(forced) == tables[i]->name) return *tables[i];
    accepted += (i ? ", " : "") + std::string(tables[i]->name);
  }
  throw std::runtime_error("EQUISHARE_ISA is '" + std::string(forced) +
                           "'; this machine accepts: " + accepted);
}

}  // namespace equishare
