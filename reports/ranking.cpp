#include "reports/ranking.hpp"

#include <algorithm>
#include <map>

namespace normquant::reports {
namespace {

/// `timings` are the indices of the passed ones of one case on one device; there is at least one.
RankedCase ranked(const RecordSet& set, std::vector<std::size_t> timings) {
  const auto at = [&set](std::size_t index) -> const Timing& { return set.timings[index]; };
  std::stable_sort(timings.begin(), timings.end(),
                   [&at](std::size_t a, std::size_t b) { return at(a).median_us < at(b).median_us; });
  RankedCase result;
  result.best = at(timings.front());
  result.auto_variant = result.best.auto_variant;
  result.runners_up = timings.size() - 1;
  if (timings.size() > 1) result.second_ratio = at(timings[1]).median_us / result.best.median_us;
  for (std::size_t index : timings) {
    if (at(index).variant != at(index).auto_variant && at(index).variant != "auto") continue;
    result.auto_ratio = at(index).median_us / result.best.median_us;
    break;
  }
  result.timings = std::move(timings);
  return result;
}

}  // namespace

std::vector<RankedCase> rank(const RecordSet& set) {
  std::map<std::string, std::size_t> index;
  std::vector<std::vector<std::size_t>> cases;
  for (std::size_t i = 0; i < set.timings.size(); ++i) {
    const Timing& timing = set.timings[i];
    if (!timing.passed()) continue;
    const std::string key = set.environments[timing.environment].one_device() + "\n" + timing.case_text();
    const auto [at, added] = index.emplace(key, cases.size());
    if (added) cases.emplace_back();
    cases[at->second].push_back(i);
  }
  std::vector<RankedCase> result;
  result.reserve(cases.size());
  for (auto& timings : cases) result.push_back(ranked(set, std::move(timings)));
  return result;
}

Outcomes count_outcomes(const RecordSet& set) {
  Outcomes outcomes;
  for (const Timing& timing : set.timings) {
    if (timing.verdict == "pass") ++outcomes.passed;
    if (timing.verdict == "skipped") ++outcomes.skipped;
    if (timing.verdict == "wrong") ++outcomes.wrong;
    if (timing.verdict == "error") ++outcomes.error;
  }
  return outcomes;
}

}  // namespace normquant::reports
