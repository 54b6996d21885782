// A session: one device opened with everything that times on it; what `bench` and `tune` share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>
#include <normquant/device.hpp>

#include "bench/cold_timer.hpp"
#include "bench/copy_limit.hpp"
#include "bench/nvml.hpp"
#include "bench/plan.hpp"
#include "bench/runner.hpp"
#include "bench/statistics.hpp"
#include "bench/stream_limit.hpp"
#include "bench/timer.hpp"
#include "refusal.hpp"
#include "validate/devices.hpp"

namespace normquant::bench {

using normquant::Refusal;

/// The one device of `--device` (empty: cuda when usable, else host) and `--require-gpu`. Throws a Refusal.
validate::DeviceChoice choose_device(std::string device, bool require_gpu);

/// Makes choose_variant ask the tuned table in that file about the device it names. Throws a Refusal.
void use_tuned_table(const std::string& path);

/// What is found out beside the steady time; on a GPU only.
struct Figures {
  bool cold = false;
  bool hot = false;
  bool copy = true;       ///< the copy of as many bytes, and the launch floor
  bool checked = true;    ///< outputs before timing and after; else never
  bool profiled = false;  ///< launches one by one, for a profiler, in place of the steady time
  bool streams = false;   ///< the kernel that moves the case's own matrices (stream_limit.hpp)
};

/// One CUDA device or the host.
struct Session {
  validate::DeviceChoice choice;
  std::unique_ptr<Device> device;
  std::unique_ptr<Timer> timer;
  std::unique_ptr<CopyLimit> limit;
  std::unique_ptr<StreamLimit> streams;  ///< when Figures asks for it
  std::unique_ptr<ColdTimer> cold;       ///< when Figures asks for it
  std::optional<double> peak_gb_per_s;   ///< of the GPU's memory
  std::unique_ptr<Nvml> nvml;
  std::string pci_bus_id;
  std::string card;  ///< tells devices of one kind apart: a GPU's UUID; empty on the host

  bool on_gpu() const { return choice.kind == DeviceKind::cuda; }
  /// What a runner on this device works with.
  RunnerParts parts(const SamplingRule& rule) const;
  Figures figures;
};

/// Throws a Refusal when the device cannot be used.
Session open_session(const validate::DeviceChoice& choice, const Figures& figures = {});

/// The first line of a record file: the environment, and the limits that do not depend on a case.
nlohmann::ordered_json first_record(const Session& session);

/// How many samples are taken: `quick` is for tuning, where a percent is enough and there are thousands of cases;
/// `profiled` is fifteen launches.
SamplingRule rule_for(DeviceKind kind, bool quick, bool profiled = false);

}  // namespace normquant::bench
