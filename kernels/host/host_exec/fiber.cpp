// Fibers by Boost.Context, on pooled stacks.
#include "host/host_exec/fiber.hpp"

#include <boost/context/stack_context.hpp>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

namespace normquant::host_exec {
namespace {

/// Stacks are reused from block to block; a fresh one costs page faults.
struct StackPool {
  std::vector<void*> free;
  ~StackPool() {
    for (void* stack : free) std::free(stack);
  }
};
thread_local StackPool stack_pool;

/// Stacks that all began at the same place of their memory would share a few sets of the caches. So each begins up to 16 KiB lower
/// than its memory ends, at one of a prime number of places, some cache lines apart. It took 5% off the forward's smoke.
std::size_t bytes_left_out(const void* memory) {
  constexpr std::size_t places = 29, apart = std::size_t{9} * 64;
  return reinterpret_cast<std::uintptr_t>(memory) / fiber_stack_bytes % places * apart;
}

struct PooledStack {
  boost::context::stack_context allocate() {
    void* memory = nullptr;
    if (!stack_pool.free.empty()) {
      memory = stack_pool.free.back();
      stack_pool.free.pop_back();
    } else if (memory = std::aligned_alloc(fiber_stack_bytes, fiber_stack_bytes); memory == nullptr) {
      throw std::bad_alloc();
    }
    boost::context::stack_context context;
    context.size = fiber_stack_bytes;
    context.sp = static_cast<char*>(memory) + fiber_stack_bytes;
    return context;
  }
  void deallocate(boost::context::stack_context& context) noexcept {
    stack_pool.free.push_back(static_cast<char*>(context.sp) - context.size);
  }
};

}  // namespace

Fiber::~Fiber() {
  if (!started_ || ended_) return;
  if (lost_) {
    (void)new (std::nothrow) boost::context::fiber(std::move(self_));  // whose destructor would unwind it
    return;
  }
  abandoned_ = true;
  resume();
}

void Fiber::start(const std::function<void()>& body) {
  PooledStack stacks;
  boost::context::stack_context stack = stacks.allocate();
#if defined(__SANITIZE_ADDRESS__)
  stack_ = {static_cast<char*>(stack.sp) - stack.size, stack.size};
#endif
  started_ = true;
  const std::size_t left_out = bytes_left_out(static_cast<char*>(stack.sp) - stack.size);
  const boost::context::preallocated begin(static_cast<char*>(stack.sp) - left_out, stack.size - left_out, stack);
  self_ = boost::context::fiber(std::allocator_arg, begin, stacks, [this, &body](boost::context::fiber&& resumer) {
    return run(body, std::move(resumer));
  });
}

boost::context::fiber Fiber::run(const std::function<void()>& body, boost::context::fiber&& resumer) {
  arrived_at_fiber(nullptr);
  resumer_ = std::move(resumer);
  try {
    if (!abandoned_) body();
  } catch (const Abandoned&) {
  }
  ended_ = true;
  switches_to_resumer(nullptr);
  return std::move(resumer_);
}

}  // namespace normquant::host_exec
