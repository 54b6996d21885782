// The timing record: what became of one case on one variant, and the file it is written to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/cases.hpp"
#include "bench/conditions.hpp"
#include "bench/statistics.hpp"
#include "bench/sustained.hpp"
#include "output/line_file.hpp"
#include "validate/outcome.hpp"

namespace normquant::bench {

using validate::Outcome;

/// A second figure of the same case: "cold" (cold_timer.hpp), or "hot" (steady, but one and the same buffers, which stay
/// in the L2 as far as they fit).
struct Figure {
  std::vector<double> samples;  ///< microseconds a launch, in order of arrival
  Summary summary;
  Stop stop = Stop::keep_going;
};

struct TimingRecord {
  Case timed;
  std::string variant;               ///< as it was asked for; may be "auto" or "invariant"
  std::string auto_variant;          ///< what `auto` stands for here; empty when the case could not be prepared
  std::string invariant_variant;     ///< where it was asked for: what `invariant` stands for here
  std::string time_kind;             ///< "steady" or "cpu_execution"
  Outcome outcome = Outcome::error;  ///< never hazard: only right results are timed, and none is watched
  std::string reason;                ///< for all but pass; for pass what is missing and why
  std::vector<double> samples;       ///< microseconds a launch, in order of arrival
  Summary summary;
  Stop stop = Stop::keep_going;
  bool drifting = false;
  std::size_t disturbed = 0;                ///< samples taken while the GPU was slowed (conditions.hpp), set aside
  bool disturbed_used = false;              ///< not set aside: too few others
  Conditions before, after;                 ///< of the GPU, around the steady samples
  unsigned long long throttle_reasons = 0;  ///< of all readings in between, too
  std::optional<Figure> cold, hot;
  std::optional<Sustained> sustained;
  bool checked = true;                         ///< the outputs were
  std::optional<std::uint64_t> scrutiny_seed;  ///< of a plugin's variant: seed of what was drawn (scrutiny.hpp)
  double extra_work = 0;                       ///< see LaunchPlan; not 0 only when the gate is qualified
  std::int64_t bytes = 0;                      ///< algorithmic: each input read once, each output written once
  std::int64_t requested_bytes = 0;            ///< as the variant declares, re-reads counted
  std::int64_t rotated_bytes = 0;              ///< bytes * copies of the buffers: past the L2 when above it
  int launches_per_sample = 1;
  std::optional<double> copy_us;  ///< fastest copy of the same traffic in the same run
  std::string copy_way;
  std::optional<double> streams_us;  ///< fastest kernel that moves the case's matrices, where it was asked for
  std::string streams_way;
  std::optional<double> peak_gb_per_s;  ///< of the GPU's memory, by its clock and bus
  std::string card;                     ///< which of several devices of one kind ran it: a GPU's UUID; may be empty
  std::int64_t index = -1;              ///< place in the plan of the whole sweep, from 0; -1: not from a plan

  bool timed_on_gpu() const { return time_kind == "steady"; }
  /// 1e9 bytes a second; of the algorithmic bytes.
  double gb_per_s() const { return summary.median > 0 ? static_cast<double>(bytes) / summary.median / 1e3 : 0; }
  /// copy_us / median: 1 is a kernel as fast as a plain copy.
  std::optional<double> share_of_copy() const;
  /// streams_us / median.
  std::optional<double> share_of_streams() const;
  /// gb_per_s over the memory's peak.
  std::optional<double> share_of_peak() const;
};

/// One line of a record file.
nlohmann::ordered_json to_json(const TimingRecord& record);

/// The inverse, for the case that was timed: all that to_json writes. Throws nlohmann::json::exception when the line is none.
TimingRecord record_from_json(const nlohmann::ordered_json& line, const Case& timed);

/// A file of JSON lines: each reaches the file before the next case starts.
class RecordFile : public output::LineFile {
 public:
  /// False when the line could not be written (a full disk), now and from then on: failure() says why.
  bool write(const nlohmann::ordered_json& record);
};

}  // namespace normquant::bench
