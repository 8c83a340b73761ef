#include "cpu/dispatch.h"

#ifdef EQUISHARE_X86_64
#include <cpuid.h>
#endif

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

namespace {

// The levels by their parts: older compilers know neither the names of the levels nor those of
// three of the parts. __builtin_cpu_supports asks the operating system too: wide registers it does
// not save count as absent.
bool runs_v3() {
  unsigned unused, basic = 0, extended = 0;
  __get_cpuid(1, &unused, &unused, &basic, &unused);
  __get_cpuid(0x80000001, &unused, &unused, &extended, &unused);
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && (basic & bit_F16C) &&
         (basic & bit_MOVBE) && (extended & bit_LZCNT);
}

bool runs_v4() {
  return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

}  // namespace
#endif

int available_instruction_sets(const InstructionSet* (&sets)[3]) {
  int count = 0;
  sets[count++] = &baseline::instruction_set;
#ifdef EQUISHARE_X86_64
  __builtin_cpu_init();
  if (runs_v3()) sets[count++] = &v3::instruction_set;
  if (runs_v4()) sets[count++] = &v4::instruction_set;
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
