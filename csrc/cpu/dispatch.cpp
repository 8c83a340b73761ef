#include "cpu/dispatch.h"

#include <stdexcept>
#include <string>

namespace equishare {
namespace baseline {
extern const InstructionSet instruction_set;
}
#ifdef EQUISHARE_X86_64
namespace v3 {
extern const InstructionSet instruction_set;
}
namespace v4 {
extern const InstructionSet instruction_set;
}
#endif

int available_instruction_sets(const InstructionSet* (&sets)[3]) {
  int count = 0;
  sets[count++] = &baseline::instruction_set;
#ifdef EQUISHARE_X86_64
  // These ask the operating system too: wide registers it does not save count as absent.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v3")) sets[count++] = &v3::instruction_set;
  if (__builtin_cpu_supports("x86-64-v4")) sets[count++] = &v4::instruction_set;
#endif
  return count;
}

const InstructionSet& pick_instruction_set(const char* forced) {
  const InstructionSet* sets[3];
  const int count = available_instruction_sets(sets);
  if (forced == nullptr || *forced == '\0') return *sets[count - 1];
  std::string accepted;
  for (int i = 0; i < count; ++i) {
    if (std::string(forced) == sets[i]->name) return *sets[i];
    accepted += (i ? ", " : "") + std::string(sets[i]->name);
  }
  throw std::runtime_error("EQUISHARE_ISA is '" + std::string(forced) +
                           "'; this machine accepts: " + accepted);
}

}  // namespace equishare
