#include "bench/timing_record.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

/// To a tenth of a nanosecond: finer is noise and makes files large.
double rounded(double microseconds) { return std::round(microseconds * 1e4) / 1e4; }

/// To 4 decimals.
double rounded_share(double share) { return std::round(share * 1e4) / 1e4; }

Json rounded_all(const std::vector<double>& samples) {
  Json list = Json::array();
  for (double sample : samples) list.push_back(rounded(sample));
  return list;
}

/// The figures that steady, cold and hot have in common.
Json figure_json(const Figure& figure) {
  const Summary& summary = figure.summary;
  Json members = {{"median_us", rounded(summary.median)}, {"q1_us", rounded(summary.q1)},
                  {"q3_us", rounded(summary.q3)},         {"min_us", rounded(summary.minimum)},
                  {"p05_us", rounded(summary.p05)},       {"p95_us", rounded(summary.p95)},
                  {"max_us", rounded(summary.maximum)},   {"count", summary.count}};
  if (std::isfinite(summary.relative_error)) members["relative_error"] = rounded_share(summary.relative_error);
  members["stop_reason"] = name_of(figure.stop);
  members["samples"] = rounded_all(figure.samples);
  return members;
}

Json sustained_json(const Sustained& sustained) {
  Json members = {{"seconds", rounded_share(sustained.seconds)},
                  {"median_us", rounded(sustained.median_us)},
                  {"settled_after_s", rounded_share(sustained.settled_after_s)},
                  {"boost_us", rounded(sustained.boost_us)}};
  if (sustained.sm_clock_mhz) members["sm_clock_mhz"] = *sustained.sm_clock_mhz;
  if (sustained.boost_mhz) members["boost_mhz"] = *sustained.boost_mhz;
  if (sustained.power_w) members["power_w"] = std::round(*sustained.power_w * 10) / 10;
  Json list = Json::array();
  for (const Stretch& one : sustained.stretches) {
    list.push_back({rounded_share(one.end_s), rounded(one.microseconds),
                    one.sm_clock_mhz ? Json(*one.sm_clock_mhz) : Json(nullptr),
                    one.joules ? Json(std::round(*one.joules * 10) / 10) : Json(nullptr)});
  }
  members["stretches"] = std::move(list);
  return members;
}

/// What is known of the GPU around the samples.
void add_conditions(Json& line, const TimingRecord& record) {
  if (record.before.sm_clock_mhz) line["sm_clock_before_mhz"] = *record.before.sm_clock_mhz;
  if (record.after.sm_clock_mhz) line["sm_clock_mhz"] = *record.after.sm_clock_mhz;
  if (record.before.throttle_reasons || record.after.throttle_reasons) {
    line["throttle_reasons"] = record.throttle_reasons;
  }
  line["disturbed"] = record.disturbed;
  if (record.disturbed_used) line["disturbed_used"] = true;
}

void add_times(Json& line, const TimingRecord& record) {
  const Summary& summary = record.summary;
  line["median_us"] = rounded(summary.median);
  line["q1_us"] = rounded(summary.q1);
  line["q3_us"] = rounded(summary.q3);
  line["min_us"] = rounded(summary.minimum);
  line["p05_us"] = rounded(summary.p05);
  line["p95_us"] = rounded(summary.p95);
  line["max_us"] = rounded(summary.maximum);
  line["count"] = summary.count;
  if (std::isfinite(summary.relative_error)) line["relative_error"] = rounded_share(summary.relative_error);
  line["stop_reason"] = name_of(record.stop);
  line["drifting"] = record.drifting;
  line["launches_per_sample"] = record.launches_per_sample;
  line["rotated_bytes"] = record.rotated_bytes;
  if (!record.checked) line["checked"] = false;
  if (record.extra_work > 0) line["extra_work"] = rounded_share(record.extra_work);
  line["samples"] = rounded_all(record.samples);
  if (record.cold) line["cold"] = figure_json(*record.cold);
  if (record.hot) line["hot"] = figure_json(*record.hot);
  if (record.sustained) {
    line["sustained"] = sustained_json(*record.sustained);
    line["rides_boost"] = rides_boost(record.after.sm_clock_mhz, *record.sustained);
  }
}

/// Rates and limits: for GPU times only.
void add_rates(Json& line, const TimingRecord& record) {
  line["gb_per_s"] = std::round(record.gb_per_s() * 10) / 10;
  line["copy_us"] = record.copy_us ? Json(rounded(*record.copy_us)) : Json(nullptr);
  line["copy_way"] = record.copy_us ? Json(record.copy_way) : Json(nullptr);
  const std::optional<double> share = record.share_of_copy();
  line["share_of_copy"] = share ? Json(rounded_share(*share)) : Json(nullptr);
  if (record.streams_us) {
    line["streams_us"] = rounded(*record.streams_us);
    line["streams_way"] = record.streams_way;
    line["share_of_streams"] = rounded_share(*record.share_of_streams());
  }
  if (const std::optional<double> of_peak = record.share_of_peak()) line["share_of_peak"] = rounded_share(*of_peak);
  add_conditions(line, record);
}

}  // namespace

std::optional<double> TimingRecord::share_of_copy() const {
  if (!copy_us || !(summary.median > 0)) return std::nullopt;
  return *copy_us / summary.median;
}

std::optional<double> TimingRecord::share_of_streams() const {
  if (!streams_us || !(summary.median > 0)) return std::nullopt;
  return *streams_us / summary.median;
}

std::optional<double> TimingRecord::share_of_peak() const {
  if (!peak_gb_per_s || !(*peak_gb_per_s > 0) || !(summary.median > 0)) return std::nullopt;
  return gb_per_s() / *peak_gb_per_s;
}

Json to_json(const TimingRecord& record) {
  const validate::Problem& problem = record.timed.problem;
  Json line = {{"kind", "timing"},
               {"op", name_of(problem.op)},
               {"variant", record.variant},
               {"auto_variant", record.auto_variant},
               {"shape", shape_text(problem)},
               {"rows", problem.rows},
               {"columns", problem.columns},
               {"dtype", normquant::name_of(problem.x)},
               {"form", record.timed.form},
               {"problem", validate::to_text(problem)},
               {"time_kind", record.time_kind},
               {"verdict", name_of(record.outcome)},
               {"reason", record.reason},
               {"bytes", record.bytes},
               {"requested_bytes", record.requested_bytes}};
  if (!record.invariant_variant.empty()) line["invariant_variant"] = record.invariant_variant;
  if (record.index >= 0) line["index"] = record.index;
  if (!record.card.empty()) line["card"] = record.card;
  if (record.scrutiny_seed) line["scrutiny_seed"] = *record.scrutiny_seed;
  if (record.outcome == Outcome::pass) {
    add_times(line, record);
    if (record.timed_on_gpu()) add_rates(line, record);
  }
  return line;
}

bool RecordFile::write(const Json& record) {
  // Reasons may quote anything; what is not UTF-8 is replaced rather than thrown at.
  return output::LineFile::write(record.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace normquant::bench
