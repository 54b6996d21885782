// What a process that times for another one does: it opens a device and answers requests, a case and variant each.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/bench_options.hpp"
#include "bench/plan.hpp"
#include "bench/runner.hpp"
#include "bench/session.hpp"
#include "bench/timing_record.hpp"
#include "kernels/plugin/worker.hpp"

namespace normquant::bench {

/// What a timing process is started with.
struct TimerProcess {
  std::string plugin, device;
  std::string card;   ///< of a device that does not say itself (validate::ListedDevice)
  std::string table;  ///< see BenchOptions
  bool quick = false, cold = false, hot = false, copy = false, profiled = false;
};

/// The options of the command line that make such a TimerProcess.
std::vector<std::string> timer_arguments(const BenchOptions& options, const validate::DeviceChoice& device);

/// A line that asks for one case; TimerSession answers with the line of its record.
std::string timing_request(const PlannedCase& planned, long long least_launches);

/// The process's side. The device is opened with the first case, so that its time is not a plugin's.
class TimerSession {
 public:
  TimerSession(const TimerProcess& process, plugins::Requests& requests) : process_(process), requests_(requests) {}

  /// Throws a Refusal when the device cannot be used.
  const Session& open();
  /// Answers requests until there are no more; `look` is called before every answer.
  void serve(const std::function<void()>& look);

 private:
  TimingRecord run(const nlohmann::ordered_json& request);

  const TimerProcess& process_;
  plugins::Requests& requests_;
  std::optional<Session> session_;
  std::optional<Runner> runner_;
};

}  // namespace normquant::bench
