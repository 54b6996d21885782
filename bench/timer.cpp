#include "bench/timer.hpp"

#include <chrono>
#include <cmath>
#include <utility>

namespace normquant::bench {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

class WallTimer final : public Timer {
 public:
  WallTimer(Device& device, std::string_view kind, std::unique_ptr<L2Flush> flush = nullptr)
      : device_(device), kind_(kind), flush_(std::move(flush)) {}

  std::string_view time_kind() const override { return kind_; }

  Status prepare(const Enqueue& enqueue, const LaunchPlan& plan) override {
    enqueue_ = enqueue;
    slots_ = plan.slots;
    next_ = 0;
    return {};
  }

  Status measure(int count, std::vector<double>& microseconds) override {
    for (int i = 0; i < count; ++i) {
      const double start = seconds_now();
      if (Status status = launch(next_); !status.ok()) return status;
      next_ = (next_ + 1) % slots_;
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
    if (flush_ != nullptr) {
      if (Status status = flush_->enqueue(nullptr); !status.ok()) return status;
    }
    if (Status status = enqueue_(slot, nullptr); !status.ok()) return status;
    return device_.synchronize();
  }

  Device& device_;
  std::string_view kind_;
  std::unique_ptr<L2Flush> flush_;
  Enqueue enqueue_;
  int slots_ = 1;
  int next_ = 0;
};

}  // namespace

int extra_launches(int launches, double share) { return static_cast<int>(std::floor(launches * share + 1e-9)); }

std::unique_ptr<Timer> open_host_timer(Device& device) { return std::make_unique<WallTimer>(device, "cpu_execution"); }

std::unique_ptr<Timer> open_profiled_timer(Device& device, std::unique_ptr<L2Flush> flush) {
  return std::make_unique<WallTimer>(device, "profiled", std::move(flush));
}

Surroundings plain_surroundings() { return {seconds_now, {}, {}, {}, {}}; }

Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, const Surroundings& around,
               Sampling& sampling) {
  const double start = around.now();
  double outside = 0;  // seconds, in what happens around batches
  const auto aside = [&](const std::function<Status()>& what) -> Status {
    if (!what) return {};
    const double began = around.now();
    Status status = what();
    outside += around.now() - began;
    return status;
  };
  const auto look = [&] {
    const Conditions seen = around.conditions ? around.conditions() : Conditions{};
    sampling.throttle_reasons |= seen.throttle_reasons.value_or(0);
    return seen;
  };
  sampling.before = sampling.after = look();
  std::vector<double>& samples = sampling.microseconds;
  long long launches = 0;
  const auto take_batch = [&]() -> Status {
    if (Status status = aside(around.before_batch); !status.ok()) return status;
    const Conditions before = sampling.after;
    std::vector<double> batch;
    const int count = around.batch_size ? around.batch_size(rule.batch) : rule.batch;
    if (Status status = timer.measure(count, batch); !status.ok()) return status;
    if (Status status = aside(around.after_batch); !status.ok()) return status;
    sampling.after = look();
    for (double sample : batch) {
      if (!(sample > 0)) return Status::infrastructure("the timer returned a time that is not positive");
    }
    launches += static_cast<long long>(batch.size()) * timer.launches_per_sample();
    auto& kept = disturbed(before, sampling.after) ? sampling.disturbed : samples;
    kept.insert(kept.end(), batch.begin(), batch.end());
    return {};
  };
  while (sampling.stop == Stop::keep_going) {
    if (Status status = take_batch(); !status.ok()) return status;
    const double elapsed = around.now() - start - outside;
    sampling.stop = decide(samples, elapsed, rule);
    if (sampling.stop != Stop::keep_going) break;
    if (samples.size() + sampling.disturbed.size() >= rule.maximum) sampling.stop = Stop::sample_cap;
    if (elapsed >= rule.seconds) sampling.stop = Stop::time_cap;  // also when everything was disturbed
  }
  while (launches < least_launches) {
    if (Status status = take_batch(); !status.ok()) return status;
  }
  if (samples.size() < rule.minimum && !sampling.disturbed.empty()) {
    sampling.disturbed_used = true;
    samples.insert(samples.end(), sampling.disturbed.begin(), sampling.disturbed.end());
  }
  return {};
}

}  // namespace normquant::bench
