// The timing record: what became of one case on one variant, and the file it is written to.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "bench/cases.hpp"
#include "bench/statistics.hpp"

namespace normquant::bench {

enum class Result {
  pass,     ///< right before and after timing; only these have times
  skipped,  ///< the variant does not serve the problem
  wrong,    ///< the variant's output was wrong
  error     ///< CUDA, memory or the host execution failed
};
std::string_view name_of(Result result);

struct TimingRecord {
  Case timed;
  std::string variant;       ///< as it was asked for; may be "auto"
  std::string auto_variant;  ///< what `auto` stands for here; empty when the case could not be prepared
  std::string time_kind;     ///< "steady" or "cpu_execution"
  Result result = Result::error;
  std::string reason;           ///< for all but pass; for pass what is missing and why
  std::vector<double> samples;  ///< microseconds a launch, in order of arrival
  Summary summary;
  Stop stop = Stop::keep_going;
  bool drifting = false;
  std::int64_t bytes = 0;            ///< algorithmic: each input read once, each output written once
  std::int64_t requested_bytes = 0;  ///< as the variant declares, re-reads counted
  std::int64_t rotated_bytes = 0;    ///< bytes * copies of the buffers: past the L2 when above it
  int launches_per_sample = 1;
  std::optional<double> copy_us;  ///< fastest copy of the same traffic in the same run
  std::string copy_way;
  std::optional<unsigned> sm_clock_mhz;  ///< right after the samples

  bool timed_on_gpu() const { return time_kind == "steady"; }
  /// 1e9 bytes a second; of the algorithmic bytes.
  double gb_per_s() const { return summary.median > 0 ? static_cast<double>(bytes) / summary.median / 1e3 : 0; }
  /// copy_us / median: 1 is a kernel as fast as a plain copy.
  std::optional<double> share_of_copy() const;
};

/// One line of a record file.
nlohmann::ordered_json to_json(const TimingRecord& record);

/// A file of JSON lines. Each line reaches the file before the next case starts, so a kill loses one case at most.
class RecordFile {
 public:
  /// Creates or empties the file; false, and `why` filled, when that is impossible.
  bool open(const std::string& path, std::string& why);
  bool is_open() const { return file_ != nullptr; }
  /// False when the line could not be written (a full disk), now and from then on.
  bool write(const nlohmann::ordered_json& record);
  RecordFile() = default;
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

 private:
  std::FILE* file_ = nullptr;
  bool failed_ = false;
};

}  // namespace normquant::bench
