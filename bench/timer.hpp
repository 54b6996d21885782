// Timers: what one launch takes on a device, as samples.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/statistics.hpp"

namespace normquant::bench {

/// Enqueues one launch that works on buffer copy `slot`.
using Enqueue = std::function<Status(int slot, Stream stream)>;

/// Times an Enqueue: prepare once, then measure as often as needed.
class Timer {
 public:
  virtual ~Timer() = default;
  /// What the samples are: "steady" (GPU, see open_cuda_timer) or "cpu_execution" (wall clock of the host device,
  /// which says nothing about any GPU).
  virtual std::string_view time_kind() const = 0;
  /// Takes over `enqueue`, to be called for slots 0 ... slots - 1 in turn, and warms up.
  virtual Status prepare(const Enqueue& enqueue, int slots) = 0;
  /// Appends `count` samples, each in microseconds a launch.
  virtual Status measure(int count, std::vector<double>& microseconds) = 0;
  /// Runs once what a sample of measure() times, and waits for it: every slot is launched at least once.
  virtual Status run_once() = 0;
  /// Launches that one sample is the average of.
  virtual int launches_per_sample() const = 0;
};

/// Wall clock around one launch on the host device.
std::unique_ptr<Timer> open_host_timer(Device& device);

/// "steady": launches back to back in a CUDA graph over all slots in turn, several rounds when they are short; one
/// sample is the time between the CUDA events around one replay, divided by its launches. An untimed replay runs first
/// in every batch so that the GPU never waits for the host inside a sample. Null with `why` in a build without CUDA.
std::unique_ptr<Timer> open_cuda_timer(Device& device, std::string& why);

/// Samples of one case and why there are no more of them.
struct Sampling {
  std::vector<double> microseconds;  ///< in order of arrival
  Stop stop = Stop::keep_going;
};

/// Takes samples from a prepared timer until the rule says stop and `least_launches` have been timed. `now` is a clock
/// in seconds (tests pass their own).
Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, const std::function<double()>& now,
               Sampling& sampling);
/// The same with the steady wall clock.
Status collect(Timer& timer, const SamplingRule& rule, long long least_launches, Sampling& sampling);

}  // namespace normquant::bench
