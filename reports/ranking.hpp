// Per case: which variant is fastest, and how the others and `auto` do against it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/records.hpp"

namespace normquant::reports {

/// One case on one device.
struct RankedCase {
  Timing best;                         ///< of the fastest variant
  std::vector<std::size_t> timings;    ///< indices into RecordSet::timings of all that passed, fastest first
  std::size_t runners_up = 0;          ///< other variants that were timed
  std::optional<double> second_ratio;  ///< second fastest time over the best
  std::string auto_variant;            ///< what `auto` stands for; empty when the records do not say
  std::optional<double> auto_ratio;    ///< time of what `auto` stands for over the best; nothing when it was not timed
};

/// How many records ended how.
struct Outcomes {
  std::size_t passed = 0, skipped = 0, wrong = 0, error = 0;
};

/// The cases of which some variant passed, in file order; cases of different devices stay apart.
std::vector<RankedCase> rank(const RecordSet& set);

Outcomes count_outcomes(const RecordSet& set);

}  // namespace normquant::reports
