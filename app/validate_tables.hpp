// What `normquant validate` prints of its results.
#pragma once

#include <cstddef>
#include <vector>

#include "validate/result_files.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {

/// The first failures in full, counts by variant, what was left undone, the sums.
void print_results(const std::vector<CaseResult>& results, const std::vector<VariantSummary>& variants,
                   const Totals& all, const LeftUndone& undone, double seconds);

/// The cases that took longest, `most` of them.
void print_slowest(std::vector<CaseResult> results, std::size_t most);

}  // namespace normquant::validate
