// The verdict line: what settles the matter, in a word and a sentence.
#pragma once

#include "reports/facts.hpp"

namespace normquant::reports {

/// From everything else in `facts`. Wrong results come before errors, errors before a gate's findings; what was skipped
/// or not given is said and never counts as passed.
Verdict verdict_of(const Facts& facts);

/// The outcome as a reader sees it: "PASSED", "WRONG RESULTS", "SLOWER", ...
std::string outcome_title(const Verdict& verdict, bool compared);

/// `WRONG RESULTS: 1 timing and ...`
std::string verdict_line(const Facts& facts);

}  // namespace normquant::reports
