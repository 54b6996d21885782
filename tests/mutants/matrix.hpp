// The matrix of mutants and suites as a page (reports/measured/mutants.md).
#pragma once

#include <string>
#include <vector>

#include "tests/mutants/finding.hpp"

namespace normquant::mutants {

/// Markdown: what was caught by which suite on which device, class by class; then every mutant with the check that caught it,
/// those that are equivalent with the argument, and those that were missed. Devices in the order of the findings; of several
/// findings for one mutant, suite and device the last counts.
std::string matrix(const std::vector<Finding>& findings);

}  // namespace normquant::mutants
