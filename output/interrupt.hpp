// An orderly end when someone presses Ctrl-C or a scheduler sends SIGTERM: what was finished is kept, what was begun is removed.
#pragma once

#include <functional>
#include <list>

namespace normquant::output {

/// From now on SIGINT, SIGTERM and SIGHUP (where they are not ignored) run the actions of all OnInterrupt, the newest first,
/// on a thread of their own, and then do what they would have done. A second signal ends the program at once. Call once,
/// before there are other threads.
void handle_interrupts();

/// While it lives, `action` runs when the program is interrupted. The action must not end or wait for other threads.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> action);
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  std::list<std::function<void()>>::iterator place_;
};

/// While it lives, an interruption waits: a result that is complete is written to its end. May be nested. Where one is under
/// way already, this waits for the end of the program.
class InterruptLater {
 public:
  InterruptLater();
  ~InterruptLater();
  InterruptLater(const InterruptLater&) = delete;
  InterruptLater& operator=(const InterruptLater&) = delete;
};

}  // namespace normquant::output
