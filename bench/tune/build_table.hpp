// From timings to the cells of a tuned table.
#pragma once

#include <vector>

#include "bench/tune/timed_cases.hpp"
#include "kernels/choice/tuned_table.hpp"

namespace normquant::tune {

/// When two variants count as equally fast: their medians differ by less than the larger of `least` and half the sum of
/// their spreads, and never by more than `most` of the best.
struct TieRule {
  double least = 0.01;
  double most = 0.03;
};

/// A cell for each case. All variants that tie with the fastest come first with the cost 1, the simplest of them first;
/// then the others by their times, up to choice::most_listed_cost and choice::most_listed.
std::vector<choice::Cell> cells_of(const std::vector<TimedCase>& cases, const TieRule& rule = {});

}  // namespace normquant::tune
