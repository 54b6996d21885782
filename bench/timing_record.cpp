#include "bench/timing_record.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

/// To a tenth of a nanosecond: finer is noise and makes files large.
double rounded(double microseconds) { return std::round(microseconds * 1e4) / 1e4; }

/// To 4 decimals.
double rounded_share(double share) { return std::round(share * 1e4) / 1e4; }

void add_times(Json& line, const TimingRecord& record) {
  const Summary& summary = record.summary;
  line["median_us"] = rounded(summary.median);
  line["q1_us"] = rounded(summary.q1);
  line["q3_us"] = rounded(summary.q3);
  line["min_us"] = rounded(summary.minimum);
  if (std::isfinite(summary.relative_error)) line["relative_error"] = rounded_share(summary.relative_error);
  line["stop_reason"] = name_of(record.stop);
  line["drifting"] = record.drifting;
  line["launches_per_sample"] = record.launches_per_sample;
  line["rotated_bytes"] = record.rotated_bytes;
  Json samples = Json::array();
  for (double sample : record.samples) samples.push_back(rounded(sample));
  line["samples"] = std::move(samples);
}

/// Rates and limits: for GPU times only.
void add_rates(Json& line, const TimingRecord& record) {
  line["gb_per_s"] = std::round(record.gb_per_s() * 10) / 10;
  line["copy_us"] = record.copy_us ? Json(rounded(*record.copy_us)) : Json(nullptr);
  line["copy_way"] = record.copy_us ? Json(record.copy_way) : Json(nullptr);
  const std::optional<double> share = record.share_of_copy();
  line["share_of_copy"] = share ? Json(rounded_share(*share)) : Json(nullptr);
  if (record.sm_clock_mhz) line["sm_clock_mhz"] = *record.sm_clock_mhz;
}

}  // namespace

std::string_view name_of(Result result) {
  switch (result) {
    case Result::pass: return "pass";
    case Result::skipped: return "skipped";
    case Result::wrong: return "wrong";
    case Result::error: return "error";
  }
  return "unknown";
}

std::optional<double> TimingRecord::share_of_copy() const {
  if (!copy_us || !(summary.median > 0)) return std::nullopt;
  return *copy_us / summary.median;
}

Json to_json(const TimingRecord& record) {
  const validate::Problem& problem = record.timed.problem;
  Json line = {{"kind", "timing"},
               {"op", validate::name_of(problem.op)},
               {"variant", record.variant},
               {"auto_variant", record.auto_variant},
               {"shape", shape_text(problem)},
               {"rows", problem.rows},
               {"columns", problem.columns},
               {"dtype", normquant::name_of(problem.x)},
               {"form", record.timed.form},
               {"problem", validate::to_text(problem)},
               {"time_kind", record.time_kind},
               {"verdict", name_of(record.result)},
               {"reason", record.reason},
               {"bytes", record.bytes},
               {"requested_bytes", record.requested_bytes}};
  if (record.result == Result::pass) {
    add_times(line, record);
    if (record.timed_on_gpu()) add_rates(line, record);
  }
  return line;
}

bool RecordFile::open(const std::string& path, std::string& why) {
  file_ = std::fopen(path.c_str(), "w");
  if (file_ == nullptr) why = fmt::format("cannot write {}: {}", path, std::strerror(errno));
  return file_ != nullptr;
}

bool RecordFile::write(const Json& record) {
  if (file_ == nullptr || failed_) return !failed_;
  // Reasons may quote anything; what is not UTF-8 is replaced rather than thrown at.
  const std::string line = record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  failed_ = std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fflush(file_) != 0;
  return !failed_;
}

RecordFile::~RecordFile() {
  if (file_ != nullptr) std::fclose(file_);
}

}  // namespace normquant::bench
