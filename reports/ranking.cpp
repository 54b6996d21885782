#include "reports/ranking.hpp"

#include <algorithm>
#include <map>

namespace normquant::reports {
namespace {

/// `timings` are the passed ones of one case on one device; there is at least one.
RankedCase ranked(std::vector<const Timing*> timings) {
  std::stable_sort(timings.begin(), timings.end(),
                   [](const Timing* a, const Timing* b) { return a->median_us < b->median_us; });
  RankedCase result;
  result.best = *timings.front();
  result.runners_up = timings.size() - 1;
  if (timings.size() > 1) result.second_ratio = timings[1]->median_us / result.best.median_us;
  for (const Timing* timing : timings) {
    if (timing->variant != timing->auto_variant && timing->variant != "auto") continue;
    result.auto_ratio = timing->median_us / result.best.median_us;
    break;
  }
  return result;
}

}  // namespace

std::vector<RankedCase> rank(const RecordSet& set) {
  std::map<std::string, std::size_t> index;
  std::vector<std::vector<const Timing*>> cases;
  for (const Timing& timing : set.timings) {
    if (!timing.passed()) continue;
    const std::string key = set.environments[timing.environment].device() + "\n" + timing.case_text();
    const auto [at, added] = index.emplace(key, cases.size());
    if (added) cases.emplace_back();
    cases[at->second].push_back(&timing);
  }
  std::vector<RankedCase> result;
  result.reserve(cases.size());
  for (auto& timings : cases) result.push_back(ranked(std::move(timings)));
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
