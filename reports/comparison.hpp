// The gate: is the candidate slower than the baseline? Decides from the raw samples of two sets of records.
//
// Per case and variant the ratio of the medians (candidate / baseline) gets an interval: with median intervals [a, b]
// of the baseline and [c, d] of the candidate (order statistics, see order_statistics.hpp) it is [c / b, d / a]. Each
// of the two median intervals may fail with probability (1 - confidence) / (2 * cases), so all intervals of a run hold
// together with the confidence asked for (Bonferroni). What they cover is the scatter of samples within a process; two
// processes on one machine may differ by more, which is what the minimum effect is for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/order_statistics.hpp"
#include "reports/records.hpp"

namespace normquant::reports {

/// Cases that are held to another effect than the rest. `pattern` is a shell pattern for names of cases, such as
/// `norm_quant_forward * bfloat16 rms *`.
struct SpecialEffect {
  std::string pattern;
  double min_effect = 0;
};
/// That of the last pattern that fits, else `usual`.
double effect_for(std::string_view name, double usual, const std::vector<SpecialEffect>& special);
/// One line an effect: a number and a pattern, `0.01 norm_quant_forward *`; `#` begins a comment. Nothing, and a sentence in `why`
/// that names the line, when one is malformed.
std::optional<std::vector<SpecialEffect>> parse_effects(const std::string& text, std::string& why);

struct GateRule {
  double min_effect = 0.03;  ///< a ratio within [1 / (1 + min_effect), 1 + min_effect] is no change
  double confidence = 0.95;  ///< that every interval of the run holds
  std::vector<SpecialEffect> special = {};
};

enum class Change {
  faster,       ///< the whole interval lies below 1 / (1 + min_effect)
  same,         ///< the whole interval lies between the two limits
  slower,       ///< the whole interval lies above 1 + min_effect
  inconclusive  ///< the interval crosses a limit, or there are too few samples for one
};
std::string_view name_of(Change change);

/// One case and variant that both sides have.
struct Comparison {
  std::string name;  ///< case and variant
  double baseline_us = 0, candidate_us = 0, ratio = 0;
  std::optional<Interval> interval;  ///< of the ratio; nothing when a side has too few samples
  Change change = Change::inconclusive;
  std::string advice = {};  ///< of an inconclusive one: what would decide it, as a sentence; may be empty
  bool unchanged =
      false;  ///< SAME since both run the same code (bench/gate/unchanged.hpp): not timed, so without figures
};

struct GateResult {
  std::string refusal;                  ///< why the two sets cannot be compared; everything else is then empty
  std::vector<Comparison> comparisons;  ///< SLOWER first, then INCONCLUSIVE, FASTER, SAME; largest change first
  std::vector<std::string> missing;     ///< in the baseline, not (passing) in the candidate
  std::size_t added = 0;                ///< in the candidate only
};

/// Interval of the ratio of two medians, each of which may fail with probability `alpha`.
std::optional<Interval> ratio_interval(const std::vector<double>& baseline, const std::vector<double>& candidate,
                                       double alpha);

Change classify(const std::optional<Interval>& interval, double min_effect);

/// A sentence when times of the two machines say nothing about each other: GPU, driver, ECC mode or power limit differ.
/// What either side does not know is let pass. Empty when they may be compared.
std::string machines_differ(const Environment& a, const Environment& b);

/// Puts the comparisons into the order that GateResult promises.
void sort_by_importance(GateResult& result);

/// How many of them were not timed, since both sides run the same code.
std::size_t count_unchanged(const GateResult& result);

/// How many comparisons ended so.
std::size_t count(const GateResult& result, Change change);

/// Refuses sets of different GPU, driver, ECC mode or power limit, CPU execution times, and sets without common cases.
GateResult compare(const RecordSet& baseline, const RecordSet& candidate, const GateRule& rule);

/// Exit status (exit_status.hpp): 2 refused, 3 something is slower, 4 something is inconclusive or missing, else 0.
int gate_status(const GateResult& result);

/// What the terminal shows.
std::string gate_text(const GateResult& result, const GateRule& rule);

}  // namespace normquant::reports
