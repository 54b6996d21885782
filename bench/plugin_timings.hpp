// Timing a plugin's variants in processes of their own: whatever becomes of one, the sweep goes on.
#pragma once

#include <memory>
#include <string>

#include "bench/bench_options.hpp"
#include "bench/plan.hpp"
#include "bench/timer_session.hpp"
#include "bench/timing_record.hpp"
#include "kernels/plugin/worker.hpp"

namespace normquant::bench {

/// Keeps the process of the variant that it timed last.
class PluginTimings {
 public:
  PluginTimings(const BenchOptions& options, const validate::DeviceChoice& device)
      : options_(options), device_(device) {}

  /// The record of one planned case. A process that crashes, ends itself or takes longer than --plugin-timeout over the case is
  /// an error with a sentence, and the next case gets a new one; after three that ran out of time a variant is given up.
  TimingRecord run(const PlannedCase& planned, long long least_launches);

  /// Ends the process, which holds memory of the device.
  void end() { worker_.reset(); }

 private:
  bool start(const std::string& variant, std::string& why);
  TimingRecord failed(const PlannedCase& planned, const std::string& reason) const;

  const BenchOptions& options_;
  validate::DeviceChoice device_;
  std::unique_ptr<plugins::Worker> worker_;
  std::string serves_, given_up_;
  int time_outs_ = 0;  ///< of the variant that is served
};

/// The process's side: loads the plugin and answers requests until there are no more. The exit status.
int serve_plugin_timings(plugins::Requests& requests, const TimerProcess& process);

}  // namespace normquant::bench
