// Runs a grid on the CPU: one fiber for each CUDA thread, one block after the other.
//
// A fiber runs until it must wait (barrier, warp operation) or ends. Whoever arrives last releases the others. The next
// fiber is drawn at random from those that may run, from a seeded generator: the same seed gives the same schedule.
#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>

#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "host_exec/cuda_on_host.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace normquant::host_exec {
namespace {

// Enough for the kernels' register arrays; AddressSanitizer pads every variable.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_bytes = std::size_t{512} * 1024;
#else
constexpr std::size_t stack_bytes = std::size_t{64} * 1024;
#endif
constexpr unsigned warp_size = 32;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, the same everywhere.
struct Generator {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return next() % n; }  // n is far below 2^64: no bias to speak of
};

/// Stacks are reused from block to block; a fresh one costs page faults.
struct StackPool {
  std::vector<void*> free;
  ~StackPool() {
    for (void* stack : free) std::free(stack);
  }
};
thread_local StackPool stack_pool;

struct PooledStack {
  boost::context::stack_context allocate() {
    void* memory = nullptr;
    if (!stack_pool.free.empty()) {
      memory = stack_pool.free.back();
      stack_pool.free.pop_back();
    } else if (memory = std::aligned_alloc(4096, stack_bytes); memory == nullptr) {
      throw std::bad_alloc();
    }
    boost::context::stack_context context;
    context.size = stack_bytes;
    context.sp = static_cast<char*>(memory) + stack_bytes;
    return context;
  }
  void deallocate(boost::context::stack_context& context) noexcept {
    stack_pool.free.push_back(static_cast<char*>(context.sp) - context.size);
  }
};

struct CudaThread {
  boost::context::fiber fiber;      ///< where the thread goes on (while it waits)
  boost::context::fiber scheduler;  ///< where the scheduler goes on (while the thread runs)
  dim3 index;
  unsigned number = 0;              ///< linear index in the block
  const char* waits_for = nullptr;  ///< the operation it waits in; null while it may run
  bool finished = false;
  void* fake_stack = nullptr;  ///< AddressSanitizer's, while switched out
  const void* stack_bottom = nullptr;
};

/// Two sets of slots: a lane that runs ahead writes the next exchange's set, and cannot come to the one after that
/// before every lane has read this one.
struct Warp {
  std::uint64_t slots[2][warp_size];
  unsigned arrived = 0;  ///< lanes that wait in the current exchange
  unsigned parity = 0;
  const char* kind = nullptr;
};

class Block {
 public:
  Block(const GridShape& shape, const std::function<void()>& body, std::uint64_t seed);
  void run();

  void barrier();
  const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const char* kind);
  CudaThread& current() { return *current_; }
  unsigned char* shared() { return shared_.get(); }

 private:
  void start(CudaThread& thread);
  void resume(CudaThread& thread);
  void wait(const char* operation);
  void release(CudaThread& thread);
  [[noreturn]] void report_deadlock() const;

  const std::function<void()>& body_;
  Generator generator_;
  std::vector<CudaThread> threads_;
  std::vector<Warp> warps_;
  std::vector<CudaThread*> ready_;
  std::unique_ptr<unsigned char, decltype(&std::free)> shared_;
  CudaThread* current_ = nullptr;
  unsigned at_barrier_ = 0;
  std::string error_;  ///< a misuse found inside a fiber; thrown by the scheduler
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_size_ = 0;
};

thread_local Block* block_of_this_os_thread = nullptr;
thread_local std::uint64_t schedule_seed = 1;

unsigned size_of(const dim3& extent) { return extent.x * extent.y * extent.z; }

std::string place(const dim3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

unsigned char* shared_memory_of(std::size_t bytes) {
  // Exactly the bytes asked for, so that AddressSanitizer sees an access past the end.
  void* memory = nullptr;
  if (posix_memalign(&memory, 128, std::max<std::size_t>(bytes, 1)) != 0) throw std::bad_alloc();
  std::memset(memory, 0xFF, bytes);
  return static_cast<unsigned char*>(memory);
}

Block::Block(const GridShape& shape, const std::function<void()>& body, std::uint64_t seed)
    : body_(body),
      generator_{seed},
      threads_(size_of(shape.block)),
      warps_((threads_.size() + warp_size - 1) / warp_size),
      shared_(shared_memory_of(shape.shared_bytes), &std::free) {
  unsigned number = 0;
  for (CudaThread& thread : threads_) {
    thread.number = number;
    thread.index = {number % shape.block.x, number / shape.block.x % shape.block.y,
                    number / (shape.block.x * shape.block.y)};
    ready_.push_back(&thread);
    ++number;
  }
}

void Block::start(CudaThread& thread) {
  PooledStack stacks;
  boost::context::stack_context stack = stacks.allocate();
  thread.stack_bottom = static_cast<char*>(stack.sp) - stack.size;
  thread.fiber =
      boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
                            [this, &thread](boost::context::fiber&& scheduler) {
#if defined(__SANITIZE_ADDRESS__)
                              __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_, &scheduler_stack_size_);
#endif
                              thread.scheduler = std::move(scheduler);
                              body_();
                              thread.finished = true;
#if defined(__SANITIZE_ADDRESS__)
                              __sanitizer_start_switch_fiber(nullptr, scheduler_stack_, scheduler_stack_size_);
#endif
                              return std::move(thread.scheduler);
                            });
}

void Block::resume(CudaThread& thread) {
  current_ = &thread;
  threadIdx = thread.index;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack_, thread.stack_bottom, stack_bytes);
#endif
  thread.fiber = std::move(thread.fiber).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
}

void Block::wait(const char* operation) {
  CudaThread& self = *current_;
  self.waits_for = operation;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&self.fake_stack, scheduler_stack_, scheduler_stack_size_);
#endif
  self.scheduler = std::move(self.scheduler).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self.fake_stack, &scheduler_stack_, &scheduler_stack_size_);
#endif
}

void Block::release(CudaThread& thread) {
  thread.waits_for = nullptr;
  ready_.push_back(&thread);
}

void Block::run() {
  std::size_t finished = 0;
  while (!ready_.empty()) {
    std::swap(ready_[generator_.below(ready_.size())], ready_.back());
    CudaThread& thread = *ready_.back();
    ready_.pop_back();
    if (thread.stack_bottom == nullptr) start(thread);
    resume(thread);
    if (!error_.empty()) throw std::runtime_error(error_);
    finished += thread.finished ? 1 : 0;
  }
  if (finished != threads_.size()) report_deadlock();
}

void Block::report_deadlock() const {
  std::string text = "block " + place(blockIdx) + " cannot go on:";
  std::size_t finished = 0, named = 0;
  for (const CudaThread& thread : threads_) {
    finished += thread.finished ? 1 : 0;
    if (!thread.finished && named < 4) {
      text += " thread " + place(thread.index) + " waits in " + thread.waits_for + ";";
      ++named;
    }
  }
  throw std::runtime_error(text + " " + std::to_string(finished) + " of " + std::to_string(threads_.size()) +
                           " threads have ended. A barrier or warp operation was not reached by all its threads.");
}

void Block::barrier() {
  if (++at_barrier_ < threads_.size()) return wait("__syncthreads");
  at_barrier_ = 0;
  for (CudaThread& thread : threads_) {
    if (&thread != current_) release(thread);
  }
}

const std::uint64_t* Block::exchange(unsigned mask, std::uint64_t value, const char* kind) {
  CudaThread& self = *current_;
  Warp& warp = warps_[self.number / warp_size];
  const unsigned first = self.number / warp_size * warp_size;
  const unsigned lane = self.number % warp_size;
  const std::size_t lanes = std::min<std::size_t>(warp_size, threads_.size() - first);
  const unsigned present = lanes == warp_size ? 0xffffffffU : (1U << lanes) - 1;
  if ((mask & (1U << lane)) == 0 || (warp.arrived != 0 && std::strcmp(warp.kind, kind) != 0)) {
    error_ = "block " + place(blockIdx) + ", thread " + place(self.index) + ": " + kind +
             ((mask & (1U << lane)) == 0 ? " with a mask that leaves out the calling lane"
                                         : std::string(" while other lanes of the warp wait in ") + warp.kind);
    wait(kind);  // never resumed: run() throws
  }
  const unsigned parity = warp.parity;
  warp.kind = kind;
  warp.slots[parity][lane] = value;
  warp.arrived |= 1U << lane;
  if (warp.arrived != (mask & present)) {
    wait(kind);
  } else {
    warp.arrived = 0;
    warp.parity ^= 1U;
    for (unsigned other = 0; other < lanes; ++other) {
      if (other != lane && (mask & (1U << other)) != 0) release(threads_[first + other]);
    }
  }
  return warp.slots[parity];
}

}  // namespace

void set_schedule_seed(std::uint64_t seed) { schedule_seed = seed; }
unsigned char* dynamic_shared_memory() { return block_of_this_os_thread->shared(); }
void block_barrier() { block_of_this_os_thread->barrier(); }
unsigned lane_of_this_thread() { return block_of_this_os_thread->current().number % warp_size; }

const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, const char* kind) {
  return block_of_this_os_thread->exchange(mask, value, kind);
}

void run_grid(const GridShape& shape, const std::function<void()>& thread_body) {
  Generator generator{schedule_seed};
  const std::size_t blocks = static_cast<std::size_t>(shape.grid.x) * shape.grid.y * shape.grid.z;
  if (blocks == 0 || size_of(shape.block) == 0) return;
  // Blocks in the order start, start + stride, ... (mod blocks): every block once, in an order that no kernel may expect.
  std::size_t stride = 1 + generator.below(blocks);
  while (std::gcd(stride, blocks) != 1) ++stride;
  std::size_t number = generator.below(blocks);
  blockDim = shape.block;
  gridDim = shape.grid;
  for (std::size_t done = 0; done < blocks; ++done) {
    blockIdx = {static_cast<unsigned>(number % shape.grid.x),
                static_cast<unsigned>(number / shape.grid.x % shape.grid.y),
                static_cast<unsigned>(number / shape.grid.x / shape.grid.y)};
    Block block(shape, thread_body, generator.next());
    block_of_this_os_thread = &block;
    block.run();
    number = (number + stride) % blocks;
  }
}

}  // namespace normquant::host_exec
