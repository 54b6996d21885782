#include "bench/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <nlohmann/json.hpp>

#include "bench/finished.hpp"
#include "bench/plan.hpp"
#include "validate/shard_set.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Unmergeable {
  std::string sentence;
};

/// An environment record and the timings of its device.
struct Part {
  Json environment;
  std::string identity;                            ///< the environment without what differs from run to run
  std::multimap<std::int64_t, std::string> lines;  ///< by index
};

/// What has been read so far.
struct Merged {
  std::vector<Part> parts;
  validate::ShardSet shards;
  std::map<std::int64_t, std::size_t> file_of;  ///< by index
};

std::string identity_of(Json environment) {
  for (const char* key : {"time", "launch_floor_us", "events", "memory_peak_gb_per_s", "plan"}) environment.erase(key);
  if (environment.contains("gpu") && environment.at("gpu").is_object()) {
    for (const char* key : {"sm_clock_mhz", "memory_clock_mhz", "temperature_c", "throttle_reasons"}) {
      environment.at("gpu").erase(key);
    }
  }
  return environment.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The part of a record's environment; a new one where there is none yet.
std::size_t part_of(std::vector<Part>& parts, const Json& environment) {
  const std::string identity = identity_of(environment);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].identity == identity) return i;
  }
  parts.push_back({environment, identity, {}});
  return parts.size() - 1;
}

std::string text_of(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) {
    text += part.environment.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (const auto& [index, line] : part.lines) text += line + "\n";
  }
  return text;
}

/// A whole number from `least` to 10^12 of what somebody else may have written; `otherwise` where the field is not there.
std::int64_t whole_number(const Json& record, const char* name, std::int64_t least, std::int64_t otherwise,
                          const std::string& where) {
  constexpr std::int64_t most = 1'000'000'000'000;
  const auto found = record.find(name);
  if (found == record.end()) return otherwise;
  const bool too_large = found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(most);
  if (found->is_number_integer() && !too_large && found->get<std::int64_t>() >= least)
    return found->get<std::int64_t>();
  throw Unmergeable{fmt::format("{}: \"{}\" is no whole number from {} to {}", where, name, least, most)};
}

void refuse_differences(const Json& first, const Json& record, const std::string& where,
                        const std::vector<std::string>& allowed) {
  const std::vector<std::string> allowable = allowable_differences();
  for (const Difference& one : sweep_differences(first, record)) {
    if (std::find(allowed.begin(), allowed.end(), one.name) != allowed.end()) continue;
    const bool may = std::find(allowable.begin(), allowable.end(), one.name) != allowable.end();
    throw Unmergeable{fmt::format("{}: {}, so these are not shards of one sweep{}", where, one.clause,
                                  may ? fmt::format("; --allow {} takes them all the same", one.name) : "")};
  }
}

/// Reads the file of one shard.
class ShardFile {
 public:
  ShardFile(std::string path, std::size_t number, const std::vector<std::string>& allowed, Merged& merged)
      : path_(std::move(path)), number_(number), allowed_(allowed), merged_(merged) {}

  void take() {
    std::ifstream file(path_, std::ios::binary);
    if (!file) throw Unmergeable{"cannot read " + path_};
    bool cut_off = false;
    for (std::string line; std::getline(file, line);) {
      const std::string where = fmt::format("{}:{}", path_, ++line_);
      cut_off = file.eof();
      if (cut_off && line_ > 1) break;
      take_line(line, where);
    }
    if (line_ == 0) throw Unmergeable{path_ + " holds no records"};
    if (cut_off) {
      merged_.shards.did_not_end(shard_, path_, "its last line is cut off");
    } else if (const auto found = static_cast<std::int64_t>(counts_.size()); found < cases_) {
      merged_.shards.did_not_end(shard_, path_, fmt::format("{} of {} cases", found, cases_));
    }
  }

 private:
  void take_line(const std::string& line, const std::string& where) {
    try {
      const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (line_ == 1 || (record.is_object() && record.value("kind", "") == "environment")) {
        take_environment(record, where);
      } else {
        take_timing(record, line, where);
      }
    } catch (const Json::exception&) {
      throw Unmergeable{where + ": a field of the record has another type than it must have"};
    }
  }

  void take_environment(Json record, const std::string& where) {
    std::string why;
    const bool ours = record.is_object() && record.value("suite", "") == "normquant" && record.contains("plan");
    const auto shard = ours ? parse_shard(record.at("plan").value("shard", ""), why) : std::optional<Shard>();
    if (!shard) {
      throw Unmergeable{where + ": this is not the record file of a shard (normquant bench --shard I/N --out FILE)"};
    }
    if (const auto gpu = record.find("gpu"); gpu != record.end() && !gpu->is_null() && !gpu->is_object()) {
      throw Unmergeable{where + ": \"gpu\" must be an object that describes a GPU, or null where there was none"};
    }
    if (line_ == 1) note(*shard, record, where);
    record["plan"]["cases"] = 0;
    record["plan"]["shard"] = "";
    if (!merged_.parts.empty()) refuse_differences(merged_.parts.front().environment, record, where, allowed_);
    const std::size_t part = part_of(merged_.parts, record);
    latest_ = part;
    by_card_[record.value("card", "")] = part;
  }

  void note(const Shard& shard, const Json& record, const std::string& where) {
    cases_ = whole_number(record.at("plan"), "cases", 0, 0, where);
    repetitions_ = whole_number(record.at("plan"), "repetitions", 1, 1, where);
    shard_ = shard;
    if (std::string why = merged_.shards.add(shard, path_, where, cases_); !why.empty()) throw Unmergeable{why};
  }

  void take_timing(const Json& record, const std::string& line, const std::string& where) {
    if (!record.is_object() || record.value("kind", "") != "timing" || !record.contains("index")) {
      throw Unmergeable{where + ": this is not a timing record of a shard"};
    }
    const std::int64_t index = whole_number(record, "index", 0, 0, where);
    const std::size_t file = merged_.file_of.emplace(index, number_).first->second;
    if (file != number_ || ++counts_[index] > repetitions_) throw Unmergeable{where + ": this case is there twice"};
    if (static_cast<std::int64_t>(counts_.size()) > cases_) {
      throw Unmergeable{
          fmt::format("{}: this case is more than the {} that the shard was planned to have", where, cases_)};
    }
    const auto card = by_card_.find(record.value("card", ""));
    merged_.parts[card == by_card_.end() ? latest_ : card->second].lines.emplace(index, line);
  }

  std::string path_;
  std::size_t number_;
  const std::vector<std::string>& allowed_;
  Merged& merged_;
  Shard shard_;
  int line_ = 0;
  std::int64_t cases_ = 0, repetitions_ = 1;
  std::size_t latest_ = 0;
  std::map<std::string, std::size_t> by_card_;
  std::map<std::int64_t, std::int64_t> counts_;  ///< records by index
};

}  // namespace

std::vector<std::string> allowable_differences() { return {"commit", "build", "driver", "ecc", "power_limit_w"}; }

std::optional<std::string> merge_shards(const std::vector<std::string>& files, const std::vector<std::string>& allowed,
                                        std::string& why) {
  Merged merged;
  try {
    for (std::size_t i = 0; i < files.size(); ++i) ShardFile(files[i], i, allowed, merged).take();
  } catch (const Unmergeable& found) {
    why = found.sentence;
    return std::nullopt;
  }
  why = merged.shards.missing(static_cast<std::int64_t>(merged.file_of.size()));
  if (!why.empty()) return std::nullopt;
  for (Part& part : merged.parts) part.environment["plan"]["cases"] = merged.shards.cases();
  return text_of(merged.parts);
}

std::string in_plan_order(const std::string& content) {
  std::vector<Part> parts;
  std::map<std::string, std::size_t> by_card;
  std::size_t latest = 0;
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) {
    const Json record = Json::parse(line);
    if (record.at("kind") == "environment") {
      latest = part_of(parts, record);
      by_card[record.value("card", "")] = latest;
      continue;
    }
    const auto card = by_card.find(record.value("card", ""));
    parts.at(card == by_card.end() ? latest : card->second).lines.emplace(record.at("index").get<std::int64_t>(), line);
  }
  return text_of(parts);
}

}  // namespace normquant::bench
