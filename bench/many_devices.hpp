// Several devices of one kind share the cases of a plan: one process a device, and cases handed out as devices come free.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/bench_options.hpp"
#include "bench/plan.hpp"
#include "bench/timer_session.hpp"
#include "bench/timing_record.hpp"
#include "kernels/plugin/worker.hpp"

namespace normquant::bench {

/// The hidden subcommand: a process that times for one device.
inline constexpr const char* device_command = "device-timer";

/// What all processes are started with, and how long they may take over one case.
struct ManyDevicesRequest {
  std::vector<validate::ListedDevice> devices;
  BenchOptions options;  ///< quick, figures, table and case_timeout count
};

/// The processes. They end with this object and with this process, however that ends.
class ManyDevices {
 public:
  /// Starts them. Throws a Refusal when a device cannot be used, or is not of the first one's kind.
  explicit ManyDevices(ManyDevicesRequest request);
  ~ManyDevices();
  ManyDevices(const ManyDevices&) = delete;
  ManyDevices& operator=(const ManyDevices&) = delete;

  /// The first records of the devices, in order, without a plan (session.hpp).
  const std::vector<nlohmann::ordered_json>& environments() const;

  /// Times the plan. All variants of a case run on one device, so that their times and its copy's are of the same. `finished`
  /// gets every record as it comes, one at a time, and returns false when nothing further is to begin. A process that ends in
  /// the midst of a case is named on standard error; the case goes to another device, and is an error when it ends that one's
  /// too. Throws a Refusal when no device is left.
  void run(const std::vector<PlannedCase>& plan, const std::function<bool(TimingRecord)>& finished);

 private:
  struct Group;
  class Queue;
  struct OneDevice;
  void work(OneDevice& device, Queue& queue);
  bool start(OneDevice& device, std::string& why) const;

  ManyDevicesRequest request_;
  std::vector<std::unique_ptr<OneDevice>> devices_;
  std::vector<nlohmann::ordered_json> environments_;
};

/// The process's side: opens the device, says what it is, and answers requests until there are no more. The exit status.
int serve_device(plugins::Requests& requests, const TimerProcess& process);

}  // namespace normquant::bench
