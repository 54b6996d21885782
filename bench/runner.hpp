// Runs one case on one variant: prepare, check, time, check again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <normquant/device.hpp>

#include "bench/copy_limit.hpp"
#include "bench/memory_limit.hpp"
#include "bench/nvml.hpp"
#include "bench/scrutiny.hpp"
#include "bench/stream_limit.hpp"
#include "bench/sustained.hpp"
#include "bench/timer.hpp"
#include "bench/timing_record.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::bench {

/// What a runner works with. Everything outlives it; what is optional may be null.
struct RunnerParts {
  Device& device;
  Timer& timer;
  SamplingRule rule;
  CopyLimit* limit = nullptr;             ///< GPU only
  std::size_t (*free_bytes)() = nullptr;  ///< GPU only: memory left for copies of the buffers
  const Nvml* nvml = nullptr;             ///< for clocks and throttle reasons around the samples
  std::string pci_bus_id = {};
  Timer* cold = nullptr;           ///< GPU only: for the cold figure; none without it
  bool hot = false;                ///< GPU only: also the hot figure
  StreamLimit* streams = nullptr;  ///< GPU only: for what the case's matrices allow; not asked without it
  std::optional<double> peak_gb_per_s = {};
  bool checked = true;                    ///< outputs are checked before timing and after; else never
  std::optional<double> extra_work = {};  ///< see LaunchPlan
  double sustained_seconds = 0;           ///< GPU only: of the sustained figure; 0: none
  std::function<void()> loaded = {};      ///< called when a case is prepared, before its variant is
};

/// Sets of input values among the copies of a case's buffers.
inline constexpr int sets_of_values = 3;

/// The problem whose values copy `slot` has: neighbours differ, so that every launch of a rotation reads other values than the
/// one before, and copies sets_of_values apart are alike. All copies of a layer are, whose references take seconds.
validate::Problem problem_of_slot(const validate::Problem& problem, int slot);

/// Keeps the buffers of the case it ran last, so that the variants of one case share them.
class Runner {
 public:
  explicit Runner(RunnerParts parts) : parts_(std::move(parts)) {}

  /// See RunnerParts.
  void set_extra_work(std::optional<double> share) { parts_.extra_work = share; }

  /// Never throws: whatever goes wrong is the record's reason. `least_launches` must be timed at least. A plugin's variant is
  /// timed under scrutiny (scrutiny.hpp).
  TimingRecord run(const Case& timed, std::string_view variant, long long least_launches);

  /// Gives the buffers back.
  void unload();

 private:
  void run_checked(TimingRecord& record, long long least_launches);
  void load(const Case& timed);
  void measure_limits();
  std::string add_copies(std::size_t slot_bytes);
  bool check_before(TimingRecord& record);
  bool time(TimingRecord& record, long long least_launches);
  bool time_steady(TimingRecord& record, const Enqueue& enqueue, long long least_launches);
  bool time_sustained(TimingRecord& record);
  bool time_figure(TimingRecord& record, Timer& timer, const Enqueue& enqueue, int slots,
                   std::optional<Figure>& figure);
  bool check_after(TimingRecord& record);
  bool check_possible(TimingRecord& record) const;
  bool scrutinise(TimingRecord& record);
  Surroundings surroundings();
  bool accept_sampling(const Status& status, TimingRecord& record, std::string_view what) const;
  bool check_slot(std::size_t slot, TimingRecord& record, std::string_view when);

  RunnerParts parts_;
  std::optional<Case> loaded_;
  std::string load_failure_;  ///< why the loaded case cannot run; empty when it can
  std::vector<std::unique_ptr<validate::PreparedProblem>> slots_;
  validate::VariantHandle variant_;   ///< of the case and variant that run
  std::optional<Scrutiny> scrutiny_;  ///< of a plugin's variant
  WayTime copy_;
  std::string copy_failure_;
  WayTime streams_;
  std::string streams_failure_;
};

}  // namespace normquant::bench
