#include "bench/tune/build_table.hpp"

#include <algorithm>

namespace normquant::tune {
namespace {

bool ties(const VariantTime& time, const VariantTime& best, const TieRule& rule) {
  const double noise = std::clamp((time.spread + best.spread) / 2, rule.least, rule.most);
  return time.median_us <= best.median_us * (1 + noise);
}

choice::Cell cell_of(const TimedCase& timed, const TieRule& rule) {
  const VariantTime best =
      *std::min_element(timed.times.begin(), timed.times.end(),
                        [](const VariantTime& a, const VariantTime& b) { return a.median_us < b.median_us; });
  choice::Cell cell{timed.point, {}};
  for (const VariantTime& time : timed.times) {  // simplest first, and the sort keeps that order among equals
    const double cost = ties(time, best, rule) ? 1 : time.median_us / best.median_us;
    if (cost <= choice::most_listed_cost) cell.listed.push_back({time.variant, cost});
  }
  std::stable_sort(cell.listed.begin(), cell.listed.end(),
                   [](const choice::Listed& a, const choice::Listed& b) { return a.cost < b.cost; });
  if (cell.listed.size() > choice::most_listed) cell.listed.resize(choice::most_listed);
  return cell;
}

}  // namespace

std::vector<choice::Cell> cells_of(const std::vector<TimedCase>& cases, const TieRule& rule) {
  std::vector<choice::Cell> cells;
  cells.reserve(cases.size());
  for (const TimedCase& timed : cases) cells.push_back(cell_of(timed, rule));
  return cells;
}

}  // namespace normquant::tune
