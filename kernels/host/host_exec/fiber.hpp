// A function on a stack of its own, which can stop in the middle and go on later. Used by the scheduler only.
#pragma once

#include <boost/context/fiber.hpp>

#include <cstddef>
#include <functional>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace normquant::host_exec {

/// Enough for the kernels' register arrays; AddressSanitizer pads every variable, and a watcher (kernels/host/watch) is called from
/// everywhere. A stack begins at a multiple of its size.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t fiber_stack_bytes = std::size_t{512} * 1024;
#elif defined(NORMQUANT_WATCHED)
constexpr std::size_t fiber_stack_bytes = std::size_t{128} * 1024;
#else
constexpr std::size_t fiber_stack_bytes = std::size_t{64} * 1024;
#endif

/// One such function. What is still in the middle when its Fiber is destroyed is unwound. Small and inline: a kernel on
/// the host spends its time here.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  bool started() const { return started_; }
  bool ended() const { return ended_; }

  /// Gives it a stack; the first resume enters `body`, which must live until the end.
  void start(const std::function<void()>& body);

  /// It pauses for ever, and is not unwound either: where it stopped no exception can pass. What it holds is lost.
  void lose() { lost_ = true; }

  /// Runs it until it pauses or ends.
  void resume() {
    switches_to_fiber();
    self_ = std::move(self_).resume();
    arrived_at_resumer();
  }

  /// Called within the function: goes back to the one that resumed it.
  void pause() {
    switches_to_resumer(&fake_stack_);
    resumer_ = std::move(resumer_).resume();
    arrived_at_fiber(fake_stack_);
    if (abandoned_) throw Abandoned();
  }

 private:
  /// Thrown where an abandoned fiber paused. Boost would unwind it by itself, but by a switch that AddressSanitizer is
  /// not told of: it then takes the fiber's stack for the OS thread's.
  struct Abandoned {};

  boost::context::fiber run(const std::function<void()>& body, boost::context::fiber&& resumer);

  boost::context::fiber self_;     ///< where it goes on (while it pauses)
  boost::context::fiber resumer_;  ///< where the one that resumed it goes on (while it runs)
  bool started_ = false;
  bool ended_ = false;
  bool abandoned_ = false;  ///< to be unwound instead of going on
  bool lost_ = false;

  // What AddressSanitizer must be told at every switch.
#if defined(__SANITIZE_ADDRESS__)
  struct Stack {
    const void* bottom = nullptr;
    std::size_t size = 0;
  };
  Stack stack_, resumer_stack_;
  void* fake_stack_ = nullptr;
  void* resumer_fake_stack_ = nullptr;
  void switches_to_fiber() { __sanitizer_start_switch_fiber(&resumer_fake_stack_, stack_.bottom, stack_.size); }
  void arrived_at_resumer() { __sanitizer_finish_switch_fiber(resumer_fake_stack_, nullptr, nullptr); }
  /// `keep` is null when the fiber ends, and its fake stack with it.
  void switches_to_resumer(void** keep) {
    __sanitizer_start_switch_fiber(keep, resumer_stack_.bottom, resumer_stack_.size);
  }
  void arrived_at_fiber(void* kept) {
    __sanitizer_finish_switch_fiber(kept, &resumer_stack_.bottom, &resumer_stack_.size);
  }
#else
  static constexpr std::nullptr_t fake_stack_ = nullptr;
  void switches_to_fiber() {}
  void arrived_at_resumer() {}
  void switches_to_resumer(const void*) {}
  void arrived_at_fiber(const void*) {}
#endif
};

}  // namespace normquant::host_exec
