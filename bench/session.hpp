// A session: one device opened with everything that times on it; what `bench` and `tune` share.
#pragma once

#include <memory>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>
#include <normquant/device.hpp>

#include "bench/copy_limit.hpp"
#include "bench/nvml.hpp"
#include "bench/plan.hpp"
#include "bench/runner.hpp"
#include "bench/statistics.hpp"
#include "bench/timer.hpp"
#include "validate/devices.hpp"

namespace normquant::bench {

/// An exit status with its sentence, thrown to the top of a command and no further.
struct Refusal {
  int status;
  std::string sentence;
};

/// The one device of `--device` (empty: cuda when usable, else host) and `--require-gpu`. Throws a Refusal.
validate::DeviceChoice choose_device(std::string device, bool require_gpu);

/// Makes choose_variant ask the tuned table in that file about the device it names. Throws a Refusal.
void use_tuned_table(const std::string& path);

/// One CUDA device or the host.
struct Session {
  validate::DeviceChoice choice;
  std::unique_ptr<Device> device;
  std::unique_ptr<Timer> timer;
  std::unique_ptr<CopyLimit> limit;
  std::unique_ptr<Nvml> nvml;
  std::string pci_bus_id;

  bool on_gpu() const { return choice.kind == DeviceKind::cuda; }
  /// What a runner on this device works with.
  RunnerParts parts(const SamplingRule& rule) const;
};

/// Throws a Refusal when the device cannot be used.
Session open_session(const validate::DeviceChoice& choice);

/// The first line of a record file: the environment, and the limits that do not depend on a case.
nlohmann::ordered_json first_record(const Session& session);

/// How many samples are taken: `quick` is for tuning, where a percent is enough and there are thousands of cases.
SamplingRule rule_for(DeviceKind kind, bool quick);

}  // namespace normquant::bench
