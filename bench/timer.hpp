// Timers: what one launch takes on a device, as samples.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/conditions.hpp"
#include "bench/l2_flush.hpp"
#include "bench/statistics.hpp"

namespace normquant::bench {

/// Enqueues one launch that works on buffer copy `slot`.
using Enqueue = std::function<Status(int slot, Stream stream)>;

/// What a timer goes through, again and again.
struct LaunchPlan {
  int slots = 1;  ///< copies of the buffers, in turn
  /// For qualifying the gate: this share of the launches is done twice, the second time on the slot
  /// half a rotation away. Times are divided by the launches without the second ones, so that a
  /// launch seems to have grown by that share. A replay then has at least 200 launches, also with a
  /// share of 0. GPU and steady only.
  std::optional<double> extra_work;
  /// For kernels of strangers: an even number of rounds makes a sample, so that two launches in turn on a slot may differ in
  /// every one; and a GPU that goes on working after the timed stream is done is an error (clock_check.hpp).
  bool suspicious = false;
  int rounds = 0;  ///< of a GPU's graph; 0: as many as make it long enough
};

/// What the steady clock says, in seconds.
double seconds_now();

/// Launches done twice among the first `launches`: the share, rounded down.
int extra_launches(int launches, double share);

/// Times an Enqueue: prepare once, then measure as often as needed.
class Timer {
 public:
  virtual ~Timer() = default;
  /// What the samples are: "steady" (GPU, see open_cuda_timer), "cold" (GPU, see cold_timer.hpp), "profiled" or
  /// "cpu_execution" (wall clock of the host device, which says nothing about any GPU).
  virtual std::string_view time_kind() const = 0;
  /// Takes over `enqueue`, to be called for slots 0 ... slots - 1 in turn, and warms up.
  virtual Status prepare(const Enqueue& enqueue, const LaunchPlan& plan) = 0;
  /// Appends `count` samples, each in microseconds a launch.
  virtual Status measure(int count, std::vector<double>& microseconds) = 0;
  /// Runs once what a sample of measure() times, and waits for it: every slot is launched at least once.
  virtual Status run_once() = 0;
  /// A GPU's graph alone: one replay, with none before it; microseconds a launch.
  virtual Status measure_once(double& microseconds) {
    (void)microseconds;
    return Status::unsupported("this timer has no graph");
  }
  /// A GPU's graph alone: replays back to back for about `seconds`, without events between them. `meanwhile` is called while the
  /// GPU works. Microseconds a launch by the wall clock, from the first replay's start until the stream is done.
  virtual Status run_for(double seconds, const std::function<void()>& meanwhile, double& microseconds) {
    (void)seconds, (void)meanwhile, (void)microseconds;
    return Status::unsupported("this timer has no graph");
  }
  /// Launches that one sample is the average of.
  virtual int launches_per_sample() const = 0;
};

/// Wall clock around one launch on the host device.
std::unique_ptr<Timer> open_host_timer(Device& device);

/// "profiled": for profilers, which want launches one by one. All slots in turn on any device, each
/// launch behind `flush` unless that is null. The times hold the launch itself and say little.
std::unique_ptr<Timer> open_profiled_timer(Device& device, std::unique_ptr<L2Flush> flush);

/// "steady": launches back to back in a CUDA graph over all slots in turn, several rounds when they
/// are short. One sample is the time between the CUDA events around one replay, divided by its
/// launches. In every batch an untimed replay runs first, so that the GPU never waits for the host
/// inside a sample. Null with `why` in a build without CUDA.
std::unique_ptr<Timer> open_cuda_timer(Device& device, std::string& why);

/// Samples of one case and why there are no more of them.
struct Sampling {
  std::vector<double> microseconds;  ///< in order of arrival, disturbed ones set aside
  std::vector<double> disturbed;     ///< taken while the GPU was slowed (conditions.hpp)
  bool disturbed_used = false;  ///< undisturbed ones were below the rule's minimum: `disturbed` are among the samples
  Stop stop = Stop::keep_going;
  Conditions before, after;                 ///< around all samples
  unsigned long long throttle_reasons = 0;  ///< of all readings
};

/// What a sampler looks at beside the timer. Tests pass their own.
struct Surroundings {
  std::function<double()> now;             ///< a clock in seconds
  std::function<Conditions()> conditions;  ///< empty: not known
  // Around every batch, outside of what is timed and of the rule's seconds; empty: nothing to do. A failure ends the sampling.
  std::function<Status()> before_batch = {}, after_batch = {};
  std::function<int(int usual)> batch_size = {};  ///< empty: the rule's
};

/// The steady wall clock, conditions unknown.
Surroundings plain_surroundings();

/// Takes samples from a prepared timer until the rule says stop and `least_launches` have been timed.
Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, const Surroundings& around,
               Sampling& sampling);

}  // namespace normquant::bench
