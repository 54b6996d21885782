#include "output/interrupt.hpp"

#include <semaphore.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

namespace normquant::output {
namespace {

/// Never destroyed: the thread below may use them while the program ends.
struct Actions {
  std::recursive_mutex mutex;
  std::list<std::function<void()>> list;
};
Actions& actions() {
  static auto& all = *new Actions;
  return all;
}

constexpr std::array<int, 3> ending_signals = {SIGINT, SIGTERM, SIGHUP};
sem_t arrived;    ///< from the handler to the thread: no descriptor that other code could write to
pid_t owner = 0;  ///< a forked child has the handler too, but not the thread
volatile std::sig_atomic_t seen = 0;

[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  std::raise(signal);
  _exit(128 + signal);
}

void handler(int signal) {
  if (getpid() != owner || seen != 0) end_by(signal);
  seen = signal;
  if (sem_post(&arrived) != 0) end_by(signal);
}

void wait_for_signal() {
  while (sem_wait(&arrived) != 0) {
  }
  const int signal = seen;
  Actions& all = actions();
  const std::lock_guard lock(all.mutex);
  std::fprintf(stderr, "\nnormquant: interrupted by SIG%s\n", sigabbrev_np(signal));
  for (auto action = all.list.rbegin(); action != all.list.rend(); ++action) (*action)();
  end_by(signal);
}

}  // namespace

void handle_interrupts() {
  owner = getpid();
  (void)actions();
  if (sem_init(&arrived, 0, 0) != 0) return;  // signals end the program as they always did
  struct sigaction handling {};
  handling.sa_handler = handler;
  handling.sa_flags = SA_RESTART;
  sigemptyset(&handling.sa_mask);
  for (const int signal : ending_signals) {
    struct sigaction before {};
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
      (void)sigaction(signal, &handling, nullptr);
    }
  }
  std::thread(wait_for_signal).detach();
}

OnInterrupt::OnInterrupt(std::function<void()> action) {
  const std::lock_guard lock(actions().mutex);
  place_ = actions().list.insert(actions().list.end(), std::move(action));
}

OnInterrupt::~OnInterrupt() {
  const std::lock_guard lock(actions().mutex);
  actions().list.erase(place_);
}

InterruptLater::InterruptLater() { actions().mutex.lock(); }
InterruptLater::~InterruptLater() { actions().mutex.unlock(); }

}  // namespace normquant::output
