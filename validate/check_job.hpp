// One case on its variants, in this process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "validate/cold_start.hpp"
#include "validate/devices.hpp"
#include "validate/run.hpp"

namespace normquant::validate {

/// A device that is the current one, and what starts it cold where it is a GPU.
struct OpenDevice {
  std::unique_ptr<Device> device = {};
  std::unique_ptr<ColdStart> cold = {};
};

/// What one thread has open.
class OpenDevices {
 public:
  /// Opens the device unless it is open, and makes it the current one; `warm`: without what starts it cold.
  Status make_current(const DeviceChoice& choice, std::uint64_t schedule_seed, bool warm, OpenDevice*& current);

 private:
  std::map<std::string, OpenDevice> devices_;
};

/// A verdict of that kind, for that reason.
Verdict outcome(Outcome kind, std::string reason);

/// The same verdict for every variant of the job.
std::vector<CaseResult> all_alike(const Job& job, const Verdict& verdict);

/// Prepares the case, then checks its variants one by one; `prepared_now`, unless empty, is called in between.
std::vector<CaseResult> check_job(const Job& job, const OpenDevice& open,
                                  const std::function<void()>& prepared_now = {});

}  // namespace normquant::validate
