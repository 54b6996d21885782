// The gate's verdict for machines that build: JUnit, markdown, annotations.
#pragma once

#include <string>
#include <vector>

#include "reports/comparison.hpp"

namespace normquant::gate {

/// A verdict with what is said beside it.
struct GateReport {
  reports::GateResult result;
  reports::GateRule rule;
  std::vector<std::string> notes;  ///< sentences: commits, qualification
};

/// JUnit XML: one test case a comparison. SLOWER is a failure; INCONCLUSIVE, missing and refused are errors, since they are
/// no pass; FASTER and SAME pass.
std::string junit_xml(const GateReport& report);

/// For $GITHUB_STEP_SUMMARY: a heading with the verdict, what is not SAME as a table, the rest folded away, the notes.
std::string markdown_summary(const GateReport& report);

/// Workflow commands of GitHub: `::error` for each SLOWER case and a refusal, `::warning` for INCONCLUSIVE and missing
/// ones; at most 10 of a kind, which is what GitHub shows.
std::string annotations(const GateReport& report);

}  // namespace normquant::gate
