#include "emulation.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace emulation {

Dim block_index, block_size, grid_size;
unsigned char* dynamic_shared;
int64_t most_blocks_used = 1 << 30;

namespace {

thread_local Thread* current;

// What the threads of a block share. One lock guards all of it; with fibers nobody contends.
struct Barrier {
  int arrived = 0;
  uint64_t generation = 0;
  Site site{};
};

struct Warp {
  Barrier barrier;
  uint64_t slots[2][warp_size];
};

struct Options {
  bool threads = false;
  unsigned order = 0;
  std::string left_out;
} options;

struct Block {
  std::mutex mutex;
  std::condition_variable changed;
  int size = 0, waiting = 0, finished = 0;
  int64_t releases = 0;  // of barriers
  bool failed = false;
  std::string failure;
  Barrier barrier;
  std::vector<Warp> warps;
} block;

std::mutex sites_mutex;
std::map<std::pair<const char*, int>, int64_t> site_numbers;
std::vector<std::string> site_names;

std::string at(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

bool left_out(Site site) {
  const std::lock_guard<std::mutex> lock(sites_mutex);
  const auto found = site_numbers.emplace(std::pair(site.file, site.line), site_names.size());
  if (found.second) site_names.push_back(at(site));
  const std::string &name = site_names[size_t(found.first->second)], &end = options.left_out;
  return !end.empty() && name.size() >= end.size() &&
         name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// ---- fibers

struct Fiber {
  std::unique_ptr<char[]> stack;
  ucontext_t start;
  jmp_buf here;
  bool started = false, done = false;
  Thread thread;
};

constexpr size_t stack_bytes = 128 * 1024;
std::vector<std::unique_ptr<Fiber>> fibers;
Fiber* running;
jmp_buf scheduler;
const std::function<void()>* job;

void run_thread();

void enter_fiber() {
  run_thread();
  running->done = true;
  _longjmp(scheduler, 1);
}

// In which order the threads of a block, or the blocks of a grid, take their turns.
std::vector<int64_t> turns(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  for (size_t i = 0; i < order.size(); ++i) order[i] = int64_t(i);
  if (options.order == 1) std::reverse(order.begin(), order.end());
  if (options.order > 1)
    std::shuffle(order.begin(), order.end(), std::minstd_rand(unsigned(options.order + seed)));
  return order;
}

void resume(Fiber& fiber) {
  if (fiber.done) return;
  running = &fiber;
  current = &fiber.thread;
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.here, 1);
  fiber.started = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.get();
  fiber.start.uc_stack.ss_size = stack_bytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, enter_fiber, 0);
  setcontext(&fiber.start);
}

void run_fibers(int size) {
  while (int(fibers.size()) < size) {
    fibers.push_back(std::make_unique<Fiber>());
    fibers.back()->stack = std::make_unique<char[]>(stack_bytes);
  }
  for (int t = 0; t < size; ++t) {
    Fiber& fiber = *fibers[t];
    fiber.started = fiber.done = false;
    fiber.thread = {{unsigned(t), 0, 0}};
  }
  const std::vector<int64_t> warps = turns(size / warp_size, 0), lanes = turns(warp_size, 1);
  while (block.finished < size)
    for (const int64_t w : warps) {
      // A warp runs as far as it can: the others then fall behind by all that barriers allow.
      int64_t releases;
      do {
        releases = block.releases;
        for (const int64_t lane : lanes) resume(*fibers[size_t(w * warp_size + lane)]);
      } while (releases != block.releases);
    }
}

// ---- threads, kept for the next block

struct Pool {
  std::mutex mutex;
  std::condition_variable begin, end;
  std::vector<std::thread> threads;
  uint64_t round = 0;
  int size = 0, left = 0;
  bool over = false;

  void work(int index, uint64_t seen) {
    Thread thread;
    current = &thread;
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex);
        begin.wait(lock, [&] { return over || (round != seen && index < size); });
        if (over) return;
        seen = round;
      }
      thread = {{unsigned(index), 0, 0}};
      run_thread();
      const std::lock_guard<std::mutex> lock(mutex);
      if (--left == 0) end.notify_one();
    }
  }
  void run(int count) {
    std::unique_lock<std::mutex> lock(mutex);
    size = left = count;
    while (int(threads.size()) < count)
      threads.emplace_back(&Pool::work, this, int(threads.size()), round);
    ++round;
    begin.notify_all();
    end.wait(lock, [&] { return left == 0; });
    size = 0;
  }
  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      over = true;
    }
    begin.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
};

Pool& pool() {
  static Pool instance;
  return instance;
}

// ---- both

// With the lock held.
void fail(const std::string& what) {
  if (!block.failed) block.failure = what;
  block.failed = true;
  block.changed.notify_all();
}

void fail_if_stuck() {
  if (block.waiting > 0 && block.waiting + block.finished == block.size)
    fail("threads wait at a barrier for others that never come");
}

void wait_at(Barrier& barrier, int expected, Site site) {
  std::unique_lock<std::mutex> lock(block.mutex);
  if (barrier.arrived > 0 && (barrier.site.line != site.line || barrier.site.file != site.file))
    fail("threads meet at " + at(barrier.site) + " and " + at(site) + ", different barriers");
  barrier.site = site;
  if (block.failed) throw Failure(block.failure);
  if (++barrier.arrived == expected) {
    barrier.arrived = 0;
    ++barrier.generation;
    ++block.releases;
    block.waiting -= expected - 1;
    block.changed.notify_all();
    return;
  }
  ++block.waiting;
  fail_if_stuck();
  const uint64_t generation = barrier.generation;
  const auto released = [&] { return block.failed || generation != barrier.generation; };
  if (options.threads) {
    block.changed.wait(lock, released);
  } else {
    while (!released()) {
      lock.unlock();
      if (!_setjmp(running->here)) _longjmp(scheduler, 1);
      lock.lock();
    }
  }
  if (block.failed) throw Failure(block.failure);
}

void run_thread() {
  std::string failure;
  try {
    (*job)();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::lock_guard<std::mutex> lock(block.mutex);
  if (!failure.empty()) fail(failure);
  ++block.finished;
  fail_if_stuck();
}

Warp& my_warp() { return block.warps[current->index.x / warp_size]; }

}  // namespace

Thread& self() { return *current; }

void sync_threads(Site site) {
  if (!left_out(site)) wait_at(block.barrier, block.size, site);
}

void sync_warp(Site site) {
  if (!left_out(site)) wait_at(my_warp().barrier, warp_size, site);
}

const uint64_t* gather(Site site, uint64_t value) {
  // Two sets of slots: when one is written again, all lanes have passed the other's barrier, and so
  // have read this one.
  uint64_t* slots = my_warp().slots[current->parity ^= 1];
  slots[lane()] = value;
  wait_at(my_warp().barrier, warp_size, site);
  return slots;
}

uint64_t exchange(Site site, uint64_t value, int source) {
  const uint64_t* slots = gather(site, value);
  return slots[source >= 0 && source < warp_size ? source : lane()];
}

void require_all_lanes(unsigned mask) {
  if (mask != 0xffffffffu) throw Failure("warp functions are emulated for all 32 lanes only");
}

void run(const std::string& name, int64_t blocks, int threads, int64_t shared_bytes,
         const std::function<void()>& kernel) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> turn(one_at_a_time);
  if (blocks < 1 || blocks > most_blocks || threads < 1 || threads > most_threads ||
      threads % warp_size != 0 || shared_bytes < 0 || shared_bytes > most_shared_bytes)
    throw std::runtime_error("CUDA: " + name + ": invalid launch of " + std::to_string(blocks) +
                             " blocks of " + std::to_string(threads) + " threads with " +
                             std::to_string(shared_bytes) + " bytes of shared memory");
  struct alignas(16) Line {
    unsigned char bytes[16];
  };
  std::vector<Line> shared(size_t(shared_bytes) / sizeof(Line) + 1);
  dynamic_shared = shared[0].bytes;
  block_size = {unsigned(threads), 1, 1};
  grid_size = {unsigned(blocks), 1, 1};
  job = &kernel;
  for (const int64_t turn : turns(blocks, 2)) {
    block_index = {unsigned(turn), 0, 0};
    // What is read before it is written shows: every float of it is a NaN.
    std::memset(shared.data(), 0xff, shared.size() * sizeof(Line));
    block.size = threads;
    block.waiting = block.finished = 0;
    block.failed = false;
    block.barrier = {};
    block.warps.assign(size_t(threads) / warp_size, {});
    if (options.threads)
      pool().run(threads);
    else
      run_fibers(threads);
    if (block.failed) throw std::runtime_error("CUDA: " + name + ": " + block.failure);
  }
}

}  // namespace emulation

using emulation::options;

void emulation_use_threads(int yes) { options.threads = yes; }
void emulation_order(unsigned order) { options.order = order; }
void emulation_most_blocks(int64_t most) { emulation::most_blocks_used = most; }
void emulation_leave_out(const char* site) { options.left_out = site; }
int64_t emulation_barriers() { return int64_t(emulation::site_names.size()); }
const char* emulation_barrier(int64_t n) { return emulation::site_names[size_t(n)].c_str(); }
