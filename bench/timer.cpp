#include "bench/timer.hpp"

#include <chrono>

namespace normquant::bench {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class HostTimer final : public Timer {
 public:
  explicit HostTimer(Device& device) : device_(device) {}

  std::string_view time_kind() const override { return "cpu_execution"; }

  Status prepare(const Enqueue& enqueue, int slots) override {
    enqueue_ = enqueue;
    slots_ = slots;
    return {};
  }

  Status measure(int count, std::vector<double>& microseconds) override {
    for (int i = 0; i < count; ++i) {
      const double start = seconds_now();
      if (Status status = launch(0); !status.ok()) return status;
      microseconds.push_back((seconds_now() - start) * 1e6);
    }
    return {};
  }

  Status run_once() override {
    for (int slot = 0; slot < slots_; ++slot) {
      if (Status status = launch(slot); !status.ok()) return status;
    }
    return {};
  }

  int launches_per_sample() const override { return 1; }

 private:
  Status launch(int slot) {
    if (Status status = enqueue_(slot, nullptr); !status.ok()) return status;
    return device_.synchronize();
  }

  Device& device_;
  Enqueue enqueue_;
  int slots_ = 0;
};

}  // namespace

std::unique_ptr<Timer> open_host_timer(Device& device) { return std::make_unique<HostTimer>(device); }

Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, const std::function<double()>& now,
               Sampling& sampling) {
  const double start = now();
  std::vector<double>& samples = sampling.microseconds;
  const auto launches = [&] { return static_cast<long long>(samples.size()) * timer.launches_per_sample(); };
  while (sampling.stop == Stop::keep_going) {
    if (Status status = timer.measure(rule.batch, samples); !status.ok()) return status;
    sampling.stop = decide(samples, now() - start, rule);
  }
  while (launches() < least_launches) {
    if (Status status = timer.measure(rule.batch, samples); !status.ok()) return status;
  }
  for (double sample : samples) {
    if (!(sample > 0)) return Status::infrastructure("the timer returned a time that is not positive");
  }
  return {};
}

Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, Sampling& sampling) {
  return collect(timer, rule, least_launches, seconds_now, sampling);
}

}  // namespace normquant::bench
