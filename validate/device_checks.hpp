// Checking jobs on several devices of one kind, in processes of their own: whatever becomes of one, the run goes on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/plugin/worker.hpp"
#include "validate/devices.hpp"
#include "validate/run.hpp"

namespace normquant::validate {

/// The hidden subcommand: a process that checks jobs.
inline constexpr const char* checker_command = "device-checker";

/// One thread's: a process on its own device, the `own`-th of the list.
class DeviceChecks {
 public:
  DeviceChecks(const std::vector<ListedDevice>& devices, std::size_t own, bool warm)
      : devices_(devices), own_(own % devices.size()), warm_(warm) {}

  /// The results of a job, whose device names the list. When the process ends in its midst, that is said on standard error, and
  /// the job goes to the next device; when that one's process ends too, the variants are checked one by one, and those that
  /// end their process are errors.
  std::vector<CaseResult> check(const Job& job);

  const ListedDevice& own() const { return devices_[own_]; }

 private:
  bool ask(std::size_t device, const Job& job, std::vector<CaseResult>& results, std::string& why);

  const std::vector<ListedDevice>& devices_;
  std::size_t own_;
  bool warm_;
  std::unique_ptr<plugins::Worker> worker_;
  std::size_t serves_ = 0;  ///< the device of worker_
};

/// The process's side: answers requests until there are no more. The exit status.
int serve_device_checks(plugins::Requests& requests);

}  // namespace normquant::validate
