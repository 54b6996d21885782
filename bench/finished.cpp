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

/// `cuda` of `cuda:1`: which of the machine's GPUs it was, the card says (environment.hpp).
Json kind_of(const Json& device) {
  if (!device.is_string()) return device;
  const auto name = device.get<std::string>();
  return name.substr(0, name.find(':'));
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

/// Of a case that is repeated: what was read before its first record, in case an interruption came between its repetitions.
class Repetitions {
 public:
  explicit Repetitions(const Json& first_record)
      : wanted_(first_record.value(Json::json_pointer("/plan/repetitions"), 1)) {}
  void note(std::int64_t index, const Finished& so_far) {
    if (index != index_ && wanted_ > 1) before_ = so_far;
    if (index != index_) count_ = 0;
    index_ = index;
    ++count_;
  }
  void take_back_the_unfinished(Finished& finished) const {
    if (count_ > 0 && count_ < wanted_) finished = before_;
  }

 private:
  int wanted_, count_ = 0;
  std::int64_t index_ = -1;
  Finished before_;
};

}  // namespace

std::vector<Difference> sweep_differences(const Json& before, const Json& now) {
  std::vector<Difference> differences;
  for (const std::string_view where : same_in_one_sweep) {
    const Json::json_pointer pointer{std::string(where)};
    Json was = before.value(pointer, Json()), is = now.value(pointer, Json());
    if (where == "/device") was = kind_of(was), is = kind_of(is);
    if (was == is) continue;
    differences.push_back({std::string(where.substr(where.rfind('/') + 1)),
                           fmt::format("\"{}\" was {} and is {}", where.substr(1), was.dump(), is.dump())});
  }
  return differences;
}

std::string sweep_difference(const Json& before, const Json& now) {
  const std::vector<Difference> differences = sweep_differences(before, now);
  return differences.empty() ? std::string() : differences.front().clause;
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
  Repetitions last(first_record);
  int line_number = 0;
  for (std::size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', finished.bytes)) {
    const auto line = std::string_view(content).substr(finished.bytes, end - finished.bytes);
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    ++line_number;
    std::string wrong;
    if (record.is_discarded()) {
      wrong = "it is not JSON";
    } else if (line_number == 1 || text(record, "kind") == "environment") {
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
    if (text(record, "kind") == "environment") {
      finished.cards.insert(text(record, "card"));
    } else {
      last.note(record.at("index").get<std::int64_t>(), finished);
      finished.indices.insert(record.at("index").get<std::int64_t>());
      count(finished.counts, text(record, "verdict"));
    }
    finished.bytes = end + 1;
  }
  last.take_back_the_unfinished(finished);
  return finished;
}

std::vector<PlannedCase> without(const std::vector<PlannedCase>& plan, const Finished& finished) {
  std::vector<PlannedCase> left;
  std::copy_if(plan.begin(), plan.end(), std::back_inserter(left),
               [&](const PlannedCase& planned) { return finished.indices.count(planned.index) == 0; });
  return left;
}

}  // namespace normquant::bench
