// Timing records from their JSON.
#include <nlohmann/json.hpp>

#include <string_view>

#include "bench/timing_record.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

Stop stop_named(std::string_view name) {
  for (Stop stop : {Stop::precise, Stop::sample_cap, Stop::time_cap}) {
    if (name_of(stop) == name) return stop;
  }
  return Stop::keep_going;
}

template <class Value>
std::optional<Value> optional(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found == line.end() || found->is_null() ? std::nullopt : std::optional<Value>(found->get<Value>());
}

Figure figure_of(const Json& members) {
  Figure figure;
  figure.samples = members.at("samples").get<std::vector<double>>();
  figure.summary = summarise(figure.samples);
  figure.stop = stop_named(members.at("stop_reason").get<std::string>());
  return figure;
}

std::optional<Sustained> sustained_of(const Json& members) {
  std::vector<Stretch> stretches;
  for (const Json& one : members.at("stretches")) {
    Stretch stretch;
    stretch.end_s = one.at(0).get<double>();
    stretch.microseconds = one.at(1).get<double>();
    if (!one.at(2).is_null()) stretch.sm_clock_mhz = one.at(2).get<unsigned>();
    if (!one.at(3).is_null()) stretch.joules = one.at(3).get<double>();
    stretches.push_back(stretch);
  }
  return summarise_sustained(std::move(stretches));
}

void read_times(const Json& line, TimingRecord& record) {
  const Figure steady = figure_of(line);
  record.samples = steady.samples;
  record.summary = steady.summary;
  record.stop = steady.stop;
  record.drifting = line.at("drifting").get<bool>();
  record.launches_per_sample = line.at("launches_per_sample").get<int>();
  record.rotated_bytes = line.at("rotated_bytes").get<std::int64_t>();
  record.checked = line.value("checked", true);
  record.extra_work = line.value("extra_work", 0.0);
  if (line.contains("cold")) record.cold = figure_of(line.at("cold"));
  if (line.contains("hot")) record.hot = figure_of(line.at("hot"));
  if (line.contains("sustained")) record.sustained = sustained_of(line.at("sustained"));
}

void read_rates(const Json& line, TimingRecord& record) {
  record.copy_us = optional<double>(line, "copy_us");
  record.copy_way = optional<std::string>(line, "copy_way").value_or("");
  record.streams_us = optional<double>(line, "streams_us");
  record.streams_way = optional<std::string>(line, "streams_way").value_or("");
  if (const auto share = optional<double>(line, "share_of_peak"); share && *share > 0) {
    record.peak_gb_per_s = record.gb_per_s() / *share;
  }
  record.before.sm_clock_mhz = optional<unsigned>(line, "sm_clock_before_mhz");
  record.after.sm_clock_mhz = optional<unsigned>(line, "sm_clock_mhz");
  record.throttle_reasons = line.value("throttle_reasons", 0ULL);
  if (line.contains("throttle_reasons")) record.after.throttle_reasons = record.throttle_reasons;
  record.disturbed = line.value("disturbed", std::size_t{0});
  record.disturbed_used = line.value("disturbed_used", false);
}

}  // namespace

TimingRecord record_from_json(const Json& line, const Case& timed) {
  TimingRecord record;
  record.timed = timed;
  record.variant = line.at("variant").get<std::string>();
  record.auto_variant = line.at("auto_variant").get<std::string>();
  record.invariant_variant = line.value("invariant_variant", "");
  record.time_kind = line.at("time_kind").get<std::string>();
  record.outcome = validate::outcome_named(line.at("verdict").get<std::string>()).value_or(Outcome::error);
  record.reason = line.at("reason").get<std::string>();
  record.bytes = line.at("bytes").get<std::int64_t>();
  record.requested_bytes = line.at("requested_bytes").get<std::int64_t>();
  record.index = line.value("index", std::int64_t{-1});
  record.card = line.value("card", "");
  record.scrutiny_seed = optional<std::uint64_t>(line, "scrutiny_seed");
  if (record.outcome != Outcome::pass) return record;
  read_times(line, record);
  if (record.timed_on_gpu()) read_rates(line, record);
  return record;
}

}  // namespace normquant::bench
