// Memory of large outputs, which goes to the next output of its size when its tensor dies. A
// training step frees the gradient of the step before and asks for one again; from the system, that
// is fresh memory each time, every page of which faults and is cleared: several times the work of
// the kernel that fills it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

namespace equishare {

// Blocks of whole huge pages. Any thread may call any function; a child process after a fork too.
class BlockPool {
 public:
  static constexpr size_t huge_page = size_t(1) << 21;

  // Keeps free blocks of at most `limit` bytes together, the youngest.
  explicit BlockPool(size_t limit) : limit_(limit) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() { empty(); }

  // Uninitialised memory of at least `size` bytes, on the boundary of a huge page; throws
  // std::bad_alloc.
  void* take(size_t size);
  // Memory that `take` gave for the same size.
  void give_back(void* data, size_t size);
  // Returns the free blocks to the system.
  void empty();
  // Bytes of the free blocks.
  size_t held();

 private:
  friend BlockPool& output_pool();

  struct Block {
    void* data;
    size_t size;
  };

  size_t limit_, held_ = 0;
  std::deque<Block> free_;  // the oldest first
  std::mutex mutex_;
};

// The pool of all outputs. It is never destroyed: tensors may outlive everything else.
BlockPool& output_pool();

}  // namespace equishare
