// Everything that a report says, computed once from records and validation results. Terminal, markdown, CSV, JSON and
// the page are renderings of these facts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reports/comparison.hpp"
#include "reports/ranking.hpp"
#include "reports/results.hpp"

namespace normquant::reports {

/// What settles the matter, in a word and a sentence.
struct Verdict {
  /// "passed", "wrong", "error", "slower", "inconclusive", "refused" (the sets cannot be compared) or "empty".
  std::string outcome;
  std::string sentence;
};

/// How far the cases are from the copy, over those with a timed copy.
struct ShareSummary {
  std::size_t cases = 0, at_least_95 = 0;  ///< with a share of the copy; of these with 95% and more
  std::optional<double> median, least;     ///< shares
  std::optional<std::size_t> least_case;   ///< index into Facts::cases
};

/// How much slower `auto` is than the best: time over the best time, less 1.
struct RegretSummary {
  std::size_t cases = 0, above_3 = 0;  ///< with `auto` timed; of these above 3%
  std::optional<double> mean, worst;
  std::optional<std::size_t> worst_case;  ///< index into Facts::cases
};

/// What dweight and dbias cost in one backward case. No form without them is timed, so this is what the fastest variant
/// declares to move beyond each tensor once (partial sums, and rows that are read again), at the rate of the copy.
struct SumsCost {
  std::size_t case_index = 0;  ///< into Facts::cases
  std::int64_t extra_bytes = 0;
  double extra_share = 0;               ///< of the case's bytes
  std::optional<double> extra_us;       ///< extra_bytes at the copy's rate
  std::optional<double> above_copy_us;  ///< median less the copy's time, for comparison
};

/// The change of one case and variant against the baseline; see Comparison.
struct ChangedCase {
  Comparison comparison;
  std::string op, shape, dtype, form, variant;
};

/// Two sets of results compared by the gate.
struct Changes {
  GateRule rule;
  GateResult result;
  std::vector<ChangedCase> cases;  ///< in the order of result.comparisons: most important first
};

struct Facts {
  RecordSet records;
  ValidationResults validation;
  Verdict verdict;
  std::vector<RankedCase> cases;
  Outcomes outcomes;
  ShareSummary shares;
  RegretSummary regret;
  std::vector<SumsCost> sums;         ///< of the backward's cases
  std::vector<SkippedCases> skipped;  ///< timings
  std::vector<std::size_t> failed;    ///< indices into records.timings: wrong and error
  std::optional<Changes> changes;     ///< when there is a baseline
};

/// The facts of `results`; with a baseline also what changed, by the gate's rule.
Facts facts_of(Results results, const RecordSet* baseline = nullptr, const GateRule& rule = {});

/// The case as the anchors of the page name it: `norm_quant_forward/bfloat16/rms/4096x4096`.
std::string case_path(const Timing& timing);

}  // namespace normquant::reports
