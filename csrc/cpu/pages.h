// Huge pages for large outputs. A fresh array of 64 MB costs 16,384 page faults, several times the
// work of the kernel that fills it; in huge pages it costs 32.
#pragma once

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace equishare {

// A wish, for memory that is about to be written; it changes nothing where the system has no huge
// pages or keeps them to itself, nor for pages that are there already.
template <class T>
void prefer_huge_pages([[maybe_unused]] T* array, [[maybe_unused]] int64_t count) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t worth_a_call = 1 << 21;
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(array), size = sizeof(T) * count;
  if (array == nullptr || size < worth_a_call) return;
  const uintptr_t begin = (first + page - 1) / page * page, end = (first + size) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace equishare
