#include "bench/merge.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <nlohmann/json.hpp>

#include "bench/finished.hpp"
#include "bench/plan.hpp"

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Unmergeable {
  std::string sentence;
};

/// What has been read so far.
struct Merged {
  Json environment;
  std::set<int> shards;
  int of = 0;
  std::int64_t cases = 0;
  std::map<std::int64_t, std::string> lines;  ///< by index
};

void take_environment(Json record, const std::string& where, Merged& merged) {
  std::string why;
  const bool ours = record.is_object() && record.value("suite", "") == "normquant" && record.contains("plan");
  const std::optional<Shard> shard =
      ours ? parse_shard(record.at("plan").value("shard", ""), why) : std::optional<Shard>();
  if (!shard)
    throw Unmergeable{where + ": this is not the record file of a shard (normquant bench --shard I/N --out FILE)"};
  merged.cases += record.at("plan").value("cases", std::int64_t{0});
  record["plan"]["cases"] = 0;
  record["plan"]["shard"] = "";
  if (merged.environment.is_null()) merged.environment = record;
  if (const std::string differ = sweep_difference(merged.environment, record); !differ.empty()) {
    throw Unmergeable{fmt::format("{}: {}, so these are not shards of one sweep", where, differ)};
  }
  if (merged.of != 0 && merged.of != shard->of)
    throw Unmergeable{fmt::format("{}: other files are of {} shards", where, merged.of)};
  merged.of = shard->of;
  if (!merged.shards.insert(shard->number).second) {
    throw Unmergeable{fmt::format("{}: the shard {}/{} is there twice", where, shard->number, shard->of)};
  }
}

void take_line(const std::string& line, const std::string& where, Merged& merged) {
  const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || record.value("kind", "") != "timing" || !record.contains("index") ||
      !record.at("index").is_number_integer()) {
    throw Unmergeable{where + ": this is not a timing record of a shard"};
  }
  if (!merged.lines.emplace(record.at("index").get<std::int64_t>(), line).second) {
    throw Unmergeable{where + ": this case is there twice"};
  }
}

void take_file(const std::string& path, Merged& merged) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Unmergeable{"cannot read " + path};
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    const std::string where = fmt::format("{}:{}", path, ++number);
    if (file.eof()) throw Unmergeable{where + ": the last line is cut off; run that shard again with --resume"};
    if (number == 1) {
      Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      take_environment(std::move(record), where, merged);
    } else {
      take_line(line, where, merged);
    }
  }
  if (number == 0) throw Unmergeable{path + " holds no records"};
}

}  // namespace

std::optional<std::string> merge_shards(const std::vector<std::string>& files, std::string& why) {
  Merged merged;
  try {
    for (const std::string& path : files) take_file(path, merged);
  } catch (const Unmergeable& found) {
    why = found.sentence;
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    why = "a record is malformed";
    return std::nullopt;
  }
  for (int number = 1; number <= merged.of; ++number) {
    if (merged.shards.count(number) > 0) continue;
    why = fmt::format("the shard {}/{} is missing", number, merged.of);
    return std::nullopt;
  }
  if (static_cast<std::int64_t>(merged.lines.size()) != merged.cases) {
    why = fmt::format("{} of {} cases are missing: a shard did not end; run it again with --resume",
                      merged.cases - static_cast<std::int64_t>(merged.lines.size()), merged.cases);
    return std::nullopt;
  }
  merged.environment["plan"]["cases"] = merged.cases;
  std::string text = merged.environment.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (const auto& [index, line] : merged.lines) text += line + "\n";
  return text;
}

}  // namespace normquant::bench
