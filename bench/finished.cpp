#include "bench/finished.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <nlohmann/json.hpp>

namespace normquant::bench {
namespace {

using Json = nlohmann::ordered_json;

/// What must be equal for two runs to be one sweep: pointers into environment records.
constexpr std::array<const char*, 8> same_in_one_sweep = {"/commit",   "/build",      "/device",  "/plan",
                                                          "/gpu/name", "/gpu/driver", "/gpu/ecc", "/gpu/power_limit_w"};

std::string text(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void count(Tally& counts, const std::string& verdict) {
  if (verdict == "pass") ++counts.pass;
  if (verdict == "skipped") ++counts.skipped;
  if (verdict == "wrong") ++counts.wrong;
  if (verdict == "error") ++counts.error;
}

/// Why the record does not belong to the plan; empty when it does.
std::string misfit(const Json& record, const std::map<std::int64_t, std::string>& planned) {
  if (!record.is_object() || text(record, "kind") != "timing") return "it is not a timing record";
  const auto index = record.find("index");
  if (index == record.end() || !index->is_number_integer()) return "it has no \"index\"";
  const auto found = planned.find(index->get<std::int64_t>());
  const std::string name = fmt::format("{}/{}/{}/{}/{}", text(record, "op"), text(record, "variant"),
                                       text(record, "shape"), text(record, "dtype"), text(record, "form"));
  return found != planned.end() && found->second == name ? "" : fmt::format("{} is not what was planned there", name);
}

}  // namespace

std::string sweep_difference(const Json& before, const Json& now) {
  for (const char* where : same_in_one_sweep) {
    const Json::json_pointer pointer(where);
    const Json was = before.value(pointer, Json()), is = now.value(pointer, Json());
    if (was != is)
      return fmt::format("\"{}\" was {} and is {}", std::string_view(where).substr(1), was.dump(), is.dump());
  }
  return {};
}

std::optional<Finished> read_finished(const std::string& path, const Json& first_record,
                                      const std::vector<PlannedCase>& plan, std::string& why) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  constexpr std::string_view beginning = R"({"kind":"environment")";
  if (const auto compared = std::min(beginning.size(), content.size());
      content.substr(0, compared) != beginning.substr(0, compared)) {
    why = fmt::format("{} is not a record file of normquant, and is left as it is; give another --out", path);
    return std::nullopt;
  }
  std::map<std::int64_t, std::string> planned;
  for (const PlannedCase& one : plan) planned.emplace(one.index, one.name());
  Finished finished;
  int line_number = 0;
  for (std::size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', finished.bytes)) {
    const auto line = std::string_view(content).substr(finished.bytes, end - finished.bytes);
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    ++line_number;
    std::string wrong;
    if (record.is_discarded()) {
      wrong = "it is not JSON";
    } else if (line_number == 1) {
      const bool ours = record.is_object() && text(record, "suite") == "normquant";
      wrong = ours ? sweep_difference(record, first_record) : "it is not normquant's environment record";
    } else {
      wrong = misfit(record, planned);
    }
    if (!wrong.empty()) {
      why = fmt::format("{}:{}: {}, so this file cannot be gone on with; give another --out or leave out --resume",
                        path, line_number, wrong);
      return std::nullopt;
    }
    if (line_number > 1) {
      finished.indices.insert(record.at("index").get<std::int64_t>());
      count(finished.counts, text(record, "verdict"));
    }
    finished.bytes = end + 1;
  }
  return finished;
}

std::vector<PlannedCase> without(const std::vector<PlannedCase>& plan, const Finished& finished) {
  std::vector<PlannedCase> left;
  std::copy_if(plan.begin(), plan.end(), std::back_inserter(left),
               [&](const PlannedCase& planned) { return finished.indices.count(planned.index) == 0; });
  return left;
}

}  // namespace normquant::bench
