#include "cpu/block_pool.h"

#include <iterator>
#include <new>

#ifndef _WIN32
#include <pthread.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace equishare {
namespace {

constexpr std::align_val_t alignment{BlockPool::huge_page};

size_t in_whole_pages(size_t size) {
  return (size + BlockPool::huge_page - 1) / BlockPool::huge_page * BlockPool::huge_page;
}

// Fresh memory in large pages: 64 MB are 32 page faults then, else 16,384. Advice alone: where the
// system has no such pages, or keeps them to itself, all goes on as before.
void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  madvise(data, size, MADV_HUGEPAGE);
#endif
}

}  // namespace

void* BlockPool::take(size_t size) {
  size = in_whole_pages(size);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // The youngest first: the cache may still hold some of it.
    for (auto block = free_.rbegin(); block != free_.rend(); ++block) {
      if (block->size != size) continue;
      void* const data = block->data;
      free_.erase(std::next(block).base());
      held_ -= size;
      return data;
    }
  }
  void* const data = ::operator new(size, alignment);
  prefer_huge_pages(data, size);
  return data;
}

void BlockPool::give_back(void* data, size_t size) {
  size = in_whole_pages(size);
  if (size > limit_) {  // it would drive out all others, and then itself
    ::operator delete(data, alignment);
    return;
  }
  std::deque<Block> released;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back({data, size});
    held_ += size;
    while (held_ > limit_) {
      held_ -= free_.front().size;
      released.push_back(free_.front());
      free_.pop_front();
    }
  }
  for (const Block& block : released) ::operator delete(block.data, alignment);
}

void BlockPool::empty() {
  std::deque<Block> released;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    released.swap(free_);
    held_ = 0;
  }
  for (const Block& block : released) ::operator delete(block.data, alignment);
}

size_t BlockPool::held() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return held_;
}

BlockPool& output_pool() {
  static BlockPool* const pool = [] {
    auto* const made = new BlockPool(size_t(256) << 20);
#ifndef _WIN32
    // Else a child forked while another thread holds the lock would wait for it for ever.
    pthread_atfork([] { output_pool().mutex_.lock(); }, [] { output_pool().mutex_.unlock(); },
                   [] { output_pool().mutex_.unlock(); });
#endif
    return made;
  }();
  return *pool;
}

}  // namespace equishare
