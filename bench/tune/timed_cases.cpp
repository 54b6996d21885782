#include "bench/tune/timed_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <nlohmann/json.hpp>

#include "validate/operations/prepared_problem.hpp"
#include "validate/problem_point.hpp"

namespace normquant::tune {
namespace {

using reports::RecordSet;
using reports::Timing;

/// A number of the environment record's "gpu", written as such or as text ("9.0"); 0 when it is not there.
double gpu_number(const reports::Environment& environment, const char* key) {
  const auto record = nlohmann::json::parse(environment.json, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("gpu") || !record["gpu"].is_object()) return 0;
  const auto found = record["gpu"].find(key);
  if (found == record["gpu"].end()) return 0;
  if (found->is_number()) return found->get<double>();
  return found->is_string() ? std::strtod(found->get<std::string>().c_str(), nullptr) : 0;
}

int small_whole(double number) { return number > 0 && number < 1e6 ? static_cast<int>(std::lround(number)) : 0; }

TimedDevice described_by(const reports::Environment& environment, const std::string& time_kind) {
  std::string about = fmt::format("commit {}, {}", environment.commit, environment.time);
  if (!environment.driver.empty()) about += fmt::format(", driver {}", environment.driver);
  if (!environment.cuda_runtime.empty()) about += fmt::format(", CUDA {}", environment.cuda_runtime);
  return {environment.device(), small_whole(10 * gpu_number(environment, "compute_capability")),
          small_whole(gpu_number(environment, "sm_count")), time_kind, std::move(about)};
}

/// The candidates of all operations with their rank of simplicity, asked for once.
class Simplicity {
 public:
  explicit Simplicity(const Candidates& candidates) {
    for (const Operation op : all_operations) {
      const std::vector<std::string> names = candidates(op);
      for (std::size_t rank = 0; rank < names.size(); ++rank)
        ranks_[static_cast<std::size_t>(op)].emplace(names[rank], rank);
    }
  }
  std::optional<std::size_t> rank(Operation op, const std::string& variant) const {
    const auto& ranks = ranks_[static_cast<std::size_t>(op)];
    const auto found = ranks.find(variant);
    return found == ranks.end() ? std::nullopt : std::optional(found->second);
  }
  void sort(TimedCase& timed) const {
    std::stable_sort(timed.times.begin(), timed.times.end(), [&](const VariantTime& a, const VariantTime& b) {
      return rank(timed.point.op, a.variant) < rank(timed.point.op, b.variant);
    });
  }

 private:
  std::array<std::map<std::string, std::size_t>, all_operations.size()> ranks_;
};

}  // namespace

Candidates candidates_of_this_build() {
  return [](Operation op) {
    std::vector<std::string> names;
    for (const auto& entry : validate::catalogue(op, DeviceKind::host)) {
      if (entry.deterministic) names.emplace_back(entry.name);
    }
    return names;
  };
}

std::optional<TimedDevice> device_of(const RecordSet& records, std::string& why) {
  std::optional<TimedDevice> device;
  for (const Timing& timing : records.timings) {
    if (!timing.passed()) continue;
    TimedDevice other = described_by(records.environments[timing.environment], timing.time_kind);
    if (!device) device = std::move(other);
    if (device->name == records.environments[timing.environment].device() && device->time_kind == timing.time_kind) {
      continue;
    }
    why = fmt::format("the records are of several devices or kinds of time ({} and {}); a table is for one",
                      device->name, records.environments[timing.environment].device());
    return std::nullopt;
  }
  if (!device) why = "the records hold no case that passed";
  return device;
}

std::vector<TimedCase> timed_cases(const RecordSet& records, const Candidates& candidates,
                                   std::vector<std::string>& notes) {
  const Simplicity simplicity(candidates);
  std::vector<TimedCase> cases;
  std::map<std::string, std::size_t> by_text;
  std::map<std::string, std::string> text_at;  // by point
  std::map<std::string, std::string> device_at;
  std::set<std::string> foreign, doubled;
  for (const Timing& timing : records.timings) {
    if (!timing.passed() || timing.variant == "auto" || timing.variant == "invariant") continue;
    std::string why;
    const auto problem = validate::parse_problem(timing.problem, why);
    if (!problem) {
      notes.push_back(fmt::format("left out: {}: its record has no usable problem ({})", timing.case_text(), why));
      continue;
    }
    const choice::Point point = point_of(*problem);
    if (!simplicity.rank(point.op, timing.variant)) {
      foreign.insert(timing.variant);
      continue;
    }
    const std::string text = timing.case_text();
    if (text_at.emplace(choice::to_text(point), text).first->second != text) {
      doubled.insert(text);
      continue;
    }
    const std::string device = records.environments[timing.environment].one_device();
    if (!device_at.emplace(text, device).second && device_at.at(text) != device) continue;  // one device's times a case
    const auto [at, added] = by_text.emplace(text, cases.size());
    if (added) cases.push_back({point, text, timing.auto_variant, {}, *problem});
    const double spread = (timing.q3_us - timing.q1_us) / timing.median_us;
    cases[at->second].times.push_back({timing.variant, timing.median_us, spread});
  }
  for (TimedCase& timed : cases) simplicity.sort(timed);
  if (!foreign.empty()) {
    notes.push_back(fmt::format("left out: variants that `auto` may not take or that this build does not have: {}",
                                fmt::join(foreign, ", ")));
  }
  for (const std::string& text : doubled) {
    notes.push_back(fmt::format("left out: {}: to the table it is the same problem as an earlier case", text));
  }
  return cases;
}

}  // namespace normquant::tune
