// Runs the threads of a CUDA block on the CPU. For tests: exact about barriers, indifferent to
// speed.
//
// Two engines. Fibers: one thread of the operating system, switched at barriers only, so that each
// thread of the block runs to its next barrier before another starts; fast, repeatable, and a
// missing barrier shows as a wrong result in one order of the threads or another. Threads: every
// thread of the block is a thread of the operating system, reused over blocks, so that a race
// detector sees what is not ordered by a barrier. Blocks run one after another.
//
// Stricter than a device: a barrier or warp function that not all threads reach, or that they reach
// in different lines, is an error; so is a launch beyond the limits of any device.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

namespace emulation {

struct Dim {
  unsigned x, y, z;
};

constexpr int warp_size = 32, most_threads = 1024;
constexpr int64_t most_shared_bytes = 48 * 1024, most_blocks = (int64_t(1) << 31) - 1;
extern int64_t most_blocks_used;  // by kernels that stride over what is beyond

// What a thread of the block knows of itself.
struct Thread {
  Dim index;
  unsigned parity = 0;  // of the warp's exchange slots
};

Thread& self();
extern Dim block_index, block_size, grid_size;
extern unsigned char* dynamic_shared;

// A place in the code. A barrier can be left out, to see whether tests notice.
struct Site {
  const char* file;
  int line;
};

void sync_threads(Site site);
void sync_warp(Site site);

// Gives every lane's value to the lanes of its warp; returns that of `source`.
uint64_t exchange(Site site, uint64_t value, int source);
// All values of the warp, by lane.
const uint64_t* gather(Site site, uint64_t value);

void run(const std::string& name, int64_t blocks, int threads, int64_t shared_bytes,
         const std::function<void()>& kernel);

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
uint64_t to_slot(T value) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t slot = 0;
  std::memcpy(&slot, &value, sizeof value);
  return slot;
}
template <class T>
T from_slot(uint64_t slot) {
  T value;
  std::memcpy(&value, &slot, sizeof value);
  return value;
}

inline int lane() { return int(self().index.x % warp_size); }

void require_all_lanes(unsigned mask);

template <class T>
T shuffle(Site site, unsigned mask, T value, int source) {
  require_all_lanes(mask);
  return from_slot<T>(exchange(site, to_slot(value), source));
}

}  // namespace emulation

// For the tests, by name.
extern "C" {
void emulation_use_threads(int yes);
void emulation_order(unsigned order);      // of threads and blocks: 0 up, 1 down, others shuffled
void emulation_most_blocks(int64_t most);  // of a grid, before kernels stride
void emulation_leave_out(
    const char* site);                     // a barrier, as the end of its "file:line"; "" for none
int64_t emulation_barriers();              // barriers reached so far
const char* emulation_barrier(int64_t n);  // "file:line"
}
