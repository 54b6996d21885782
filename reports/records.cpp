#include "reports/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <nlohmann/json.hpp>

#include "reports/json_fields.hpp"
#include "reports/order_statistics.hpp"
#include "reports/record_checks.hpp"
#include "reports/whole_file.hpp"

namespace normquant::reports {
namespace {

using nlohmann::json;

/// What is wrong with one record; caught where file and line are known.
struct Malformed {
  std::string sentence;
};

std::string required_text(const json& object, const char* key) {
  std::string value = text(object, key);
  if (value.empty()) throw Malformed{fmt::format("the record has no \"{}\"", key)};
  return value;
}

double required_time(const json& object, const char* key) {
  const std::optional<double> value = number(object, key);
  if (!value || !(*value > 0)) throw Malformed{fmt::format("\"{}\" is not a positive number", key)};
  return *value;
}

Environment environment_of(const json& record) {
  if (text(record, "suite") != "normquant") throw Malformed{"the environment record is not normquant's"};
  if (number(record, "schema") != 1.0)
    throw Malformed{"the records have a format version that this program is not for"};
  Environment environment;
  environment.time = text(record, "time");
  environment.commit = text(record, "commit");
  environment.version = text(record, "version");
  environment.card = text(record, "card");
  environment.launch_floor_us = number(record, "launch_floor_us");
  if (const auto cpu = record.find("cpu"); cpu != record.end() && cpu->is_object()) {
    environment.cpu = text(*cpu, "model");
  }
  if (const auto gpu = record.find("gpu"); gpu != record.end() && !gpu->is_null()) {
    if (!gpu->is_object()) throw Malformed{"\"gpu\" is neither an object that describes a GPU nor null"};
    environment.gpu = required_text(*gpu, "name");
    environment.driver = text(*gpu, "driver");
    environment.cuda_runtime = text(*gpu, "cuda_runtime");
    environment.power_limit_w = number(*gpu, "power_limit_w");
    if (const auto ecc = gpu->find("ecc"); ecc != gpu->end() && ecc->is_boolean()) environment.ecc = ecc->get<bool>();
  }
  environment.json = record.dump(-1, ' ', false, json::error_handler_t::replace);
  return environment;
}

std::vector<double> samples_of(const json& record) {
  const auto found = record.find("samples");
  if (found == record.end() || !found->is_array() || found->empty())
    throw Malformed{"a passed case has no \"samples\""};
  std::vector<double> samples;
  for (const json& sample : *found) {
    if (!sample.is_number() || !(sample.get<double>() > 0)) {
      throw Malformed{"\"samples\" holds something else than positive numbers"};
    }
    samples.push_back(sample.get<double>());
  }
  return samples;
}

std::int64_t byte_count(const json& record, const char* key) {
  return static_cast<std::int64_t>(std::clamp(number(record, key).value_or(0), 0.0, 9e18));
}

/// M and N of "MxN"; zeros when the text is something else.
std::pair<std::int64_t, std::int64_t> dimensions_of(std::string_view shape) {
  std::int64_t rows = 0, columns = 0;
  const char* const end = shape.data() + shape.size();
  const auto first = std::from_chars(shape.data(), end, rows);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != 'x') return {0, 0};
  const auto second = std::from_chars(first.ptr + 1, end, columns);
  if (second.ec != std::errc() || second.ptr != end || rows < 0 || columns < 0) return {0, 0};
  return {rows, columns};
}

Timing timing_of(const json& record) {
  Timing timing;
  timing.op = required_text(record, "op");
  timing.variant = required_text(record, "variant");
  timing.auto_variant = text(record, "auto_variant");
  timing.shape = required_text(record, "shape");
  timing.dtype = required_text(record, "dtype");
  timing.form = required_text(record, "form");
  timing.time_kind = required_text(record, "time_kind");
  timing.verdict = required_text(record, "verdict");
  timing.reason = text(record, "reason");
  timing.problem = text(record, "problem");
  std::tie(timing.rows, timing.columns) = dimensions_of(timing.shape);
  timing.bytes = byte_count(record, "bytes");
  timing.requested_bytes = byte_count(record, "requested_bytes");
  constexpr std::string_view verdicts[] = {"pass", "skipped", "wrong", "error"};
  if (std::find(std::begin(verdicts), std::end(verdicts), timing.verdict) == std::end(verdicts)) {
    throw Malformed{fmt::format("the verdict \"{}\" is unknown", timing.verdict)};
  }
  if (!timing.passed()) return timing;
  if (const std::string contradiction = contradiction_in(record); !contradiction.empty()) {
    throw Malformed{"the record contradicts itself: " + contradiction};
  }
  timing.samples = samples_of(record);
  timing.median_us = required_time(record, "median_us");
  timing.q1_us = required_time(record, "q1_us");
  timing.q3_us = required_time(record, "q3_us");
  timing.gb_per_s = number(record, "gb_per_s");
  timing.copy_us = number(record, "copy_us");
  timing.share_of_copy = number(record, "share_of_copy");
  if (const auto cold = record.find("cold"); cold != record.end() && cold->is_object()) {
    timing.cold_us = number(*cold, "median_us");
  }
  const auto riding = record.find("rides_boost"), sustained = record.find("sustained");
  if (riding != record.end() && riding->is_boolean() && riding->get<bool>() && sustained != record.end()) {
    timing.sustained_us = number(*sustained, "median_us");
  }
  return timing;
}

/// Adds one record to the set.
void add_record(const json& record, std::size_t environments_before, RecordSet& set) {
  if (!record.is_object() || !record.contains("kind")) throw Malformed{"this is not a normquant record"};
  const std::string kind = text(record, "kind");
  if (kind == "environment") {
    set.environments.push_back(environment_of(record));
    return;
  }
  if (set.environments.size() == environments_before) {
    throw Malformed{"this is not a normquant record file: it does not begin with an environment record"};
  }
  if (kind != "timing") throw Malformed{fmt::format("the record kind \"{}\" is unknown", kind)};
  set.timings.push_back(timing_of(record));
  std::size_t of = set.environments.size() - 1;
  const std::string card = text(record, "card");  // of several that one file is of
  for (std::size_t i = set.environments.size(); !card.empty() && i-- > environments_before;) {
    if (set.environments[i].card != card) continue;
    of = i;
    break;
  }
  set.timings.back().environment = of;
}

/// A sentence when times from entry `begin` on ride the boost clock; the worst is named.
void warn_of_boost(const std::string& file, std::size_t begin, RecordSet& set) {
  const Timing* worst = nullptr;
  int count = 0;
  const auto grows = [](const Timing& timing) { return *timing.sustained_us / timing.median_us; };
  for (std::size_t i = begin; i < set.timings.size(); ++i) {
    const Timing& timing = set.timings[i];
    if (!timing.sustained_us) continue;
    ++count;
    if (worst == nullptr || grows(timing) > grows(*worst)) worst = &timing;
  }
  if (worst == nullptr) return;
  set.warnings.push_back(fmt::format(
      "{}: {} of {} times ride a boost clock that a long run does not hold: {} {} takes {:.4g} us, and {:.4g} us "
      "after the clock has settled",
      file, count, set.timings.size() - begin, worst->case_text(), worst->variant, worst->median_us,
      *worst->sustained_us));
}

}  // namespace

std::string Timing::case_text() const { return fmt::format("{} {} {} {}", op, shape, dtype, form); }

bool parse_records(std::string_view content, const std::string& file, RecordSet& set, std::string& why) {
  const std::size_t environments_before = set.environments.size(), timings_before = set.timings.size();
  int line_number = 0;
  while (!content.empty()) {
    ++line_number;
    const std::size_t end = content.find('\n');
    const bool cut_off = end == std::string_view::npos;
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(cut_off ? content.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded() && cut_off && set.environments.size() > environments_before) {
      set.warnings.push_back(fmt::format("{}:{}: the last line is cut off and left out", file, line_number));
      break;
    }
    try {
      if (record.is_discarded()) throw Malformed{"this line is not JSON"};
      add_record(record, environments_before, set);
    } catch (const Malformed& malformed) {
      why = fmt::format("{}:{}: {}", file, line_number, malformed.sentence);
      return false;
    }
  }
  warn_of_boost(file, timings_before, set);
  if (set.environments.size() > environments_before) return true;
  why = fmt::format("{} holds no records", file);
  return false;
}

std::optional<RecordSet> read_records(const std::vector<std::string>& files, std::string& why) {
  RecordSet set;
  ReadOnce once;
  for (const std::string& file : files) {
    const std::optional<std::string> content = read_whole(file);
    if (!content) {
      why = fmt::format("cannot read {}", file);
      return std::nullopt;
    }
    if (!once.add(file, *content, why)) return std::nullopt;
    if (!parse_records(*content, file, set, why)) return std::nullopt;
  }
  pool(set);
  return set;
}

void tell_apart(RecordSet& set) {
  using Facet = std::pair<const char*, std::string (*)(const Environment&)>;
  const Facet facets[] = {
      {"driver", [](const Environment& e) { return e.driver; }},
      {"power limit",
       [](const Environment& e) { return e.power_limit_w ? fmt::format("{:.0f} W", *e.power_limit_w) : ""; }},
      {"ECC", [](const Environment& e) { return std::string(!e.ecc   ? ""
                                                            : *e.ecc ? "on"
                                                                     : "off"); }},
      {"commit", [](const Environment& e) { return e.commit; }}};
  std::map<std::string, std::vector<Environment*>> by_device;
  for (Environment& environment : set.environments) by_device[environment.one_device()].push_back(&environment);
  for (const auto& entry : by_device) {
    const std::vector<Environment*>& alike = entry.second;
    for (const auto& [name, value_of] : facets) {
      const bool differ = std::any_of(alike.begin(), alike.end(), [&, value = value_of](const Environment* one) {
        return value(*one) != value(*alike.front());
      });
      if (!differ) continue;
      for (Environment* one : alike) {
        const std::string value = value_of(*one);
        one->apart += fmt::format(", {} {}", name, value.empty() ? "unknown" : value);
      }
    }
  }
}

void keep_first(RecordSet& set, std::size_t begin) {
  const auto key = [&set](const Timing& timing) {
    return set.environments[timing.environment].one_device() + "\n" + timing.case_text();
  };
  const auto later = set.timings.begin() + static_cast<std::ptrdiff_t>(begin);
  std::set<std::string> passed;
  for (auto timing = set.timings.begin(); timing != later; ++timing) {
    if (timing->passed()) passed.insert(key(*timing));
  }
  const auto repeated = [&](const Timing& timing) { return passed.count(key(timing)) > 0; };
  set.timings.erase(std::remove_if(later, set.timings.end(), repeated), set.timings.end());
}

void pool(RecordSet& set) {
  std::map<std::string, std::size_t> first;
  std::vector<Timing> pooled;
  std::vector<bool> grown;
  for (Timing& timing : set.timings) {
    const std::string device = set.environments[timing.environment].one_device();
    const std::string key = fmt::format("{}\n{}\n{}\n{}", device, timing.case_text(), timing.variant, timing.time_kind);
    const auto known = timing.passed() ? first.find(key) : first.end();
    if (known != first.end()) {
      std::vector<double>& samples = pooled[known->second].samples;
      samples.insert(samples.end(), timing.samples.begin(), timing.samples.end());
      grown[known->second] = true;
      continue;
    }
    if (timing.passed()) first.emplace(key, pooled.size());
    pooled.push_back(std::move(timing));
    grown.push_back(false);
  }
  for (std::size_t i = 0; i < pooled.size(); ++i) {
    if (!grown[i]) continue;
    Timing& timing = pooled[i];
    const std::vector<double> sorted = ascending(timing.samples);
    timing.median_us = quantile(sorted, 0.5);
    timing.q1_us = quantile(sorted, 0.25);
    timing.q3_us = quantile(sorted, 0.75);
    if (timing.gb_per_s) timing.gb_per_s = static_cast<double>(timing.bytes) / timing.median_us / 1e3;
    if (timing.copy_us) timing.share_of_copy = *timing.copy_us / timing.median_us;
  }
  set.timings = std::move(pooled);
}

std::vector<std::string> devices_apart(const RecordSet& set) {
  using OneDevice = std::map<std::string, double>;              // median by case and variant
  std::map<std::string, std::map<std::string, OneDevice>> all;  // by kind and card
  for (const Timing& timing : set.timings) {
    const Environment& environment = set.environments[timing.environment];
    if (!timing.passed() || environment.card.empty()) continue;
    const std::string name = fmt::format("{} {} {}", timing.case_text(), timing.variant, timing.time_kind);
    all[environment.device()][environment.card].emplace(name, timing.median_us);
  }
  std::vector<std::string> sentences;
  for (const auto& [kind, cards] : all) {
    for (auto a = cards.begin(); a != cards.end(); ++a) {
      for (auto b = std::next(a); b != cards.end(); ++b) {
        std::vector<double> ratios;
        for (const auto& [name, median] : a->second) {
          if (const auto other = b->second.find(name); other != b->second.end())
            ratios.push_back(other->second / median);
        }
        if (ratios.empty()) continue;
        ratios = ascending(ratios);
        sentences.push_back(
            fmt::format("{}: {} takes {:.3f} times as long as {} in the median of {} timings of both ({:.3f} "
                        "to {:.3f}).",
                        kind, b->first, quantile(ratios, 0.5), a->first, ratios.size(), ratios.front(), ratios.back()));
      }
    }
  }
  return sentences;
}

}  // namespace normquant::reports
