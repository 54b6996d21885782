#include "app/validate_conclusion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/validate_coverage.hpp"
#include "app/validate_tables.hpp"
#include "exit_status.hpp"
#include "output/words.hpp"
#include "refusal.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

/// The sentence behind a status that is not 0.
std::string reason_of(const Totals& all, const LeftUndone& undone) {
  if (all.failed > 0) {
    return output::counted(all.failed, "case is wrong", "cases are wrong") +
           fmt::format(", of {} that were checked", all.passed + all.failed + all.errors);
  }
  if (all.too_loose()) {
    return fmt::format(
        "more than {}% of the codes have two admissible values without a tie: the bounds are too loose to "
        "be trusted",
        100 * most_ambiguous);
  }
  if (all.errors > 0) return output::counted(all.errors, "case ended in an error", "cases ended in an error");
  if (all.passed == 0) {
    return fmt::format(
        "nothing was checked: {}, for the reasons above",
        all.skipped == 1 ? "the one case was skipped" : fmt::format("all {} cases were skipped", all.skipped));
  }
  return output::counted(static_cast<std::int64_t>(undone.never_checked.size()), "variant was never checked",
                         "variants were never checked");
}

}  // namespace

ResultFiles::ResultFiles(const std::string& json, const std::string& junit, output::Existing existing,
                         RunIdentity identity, RunPlan plan)
    : identity_(std::move(identity)), plan_(std::move(plan)) {
  json_.open(json, existing);
  junit_.open(junit, existing);
}

void ResultFiles::write(const std::vector<CaseResult>& results, const LeftUndone& undone) {
  json_.commit(as_json(results, undone, identity_, &plan_));
  junit_.commit(as_junit(results, undone));
}

void ResultFiles::keep(const std::vector<CaseResult>& results, const LeftUndone& undone) {
  if (!json_.replaceable()) return;
  try {
    json_.commit(as_json(results, undone, identity_, &plan_));
  } catch (
      const Refusal&) {  // a full disk is no reason to end the run: the write at its end says so if it still is full
  }
}

void conclude(const Plan& plan, const ValidateOptions& options, const std::vector<CaseResult>& results,
              LeftUndone undone, ResultFiles& files, double seconds) {
  const auto variants = summarise(results);
  const Totals all = totals(variants);
  if (options.full()) {
    undone.never_checked = never_checked(variants);
    undone.never_proved = never_proved(variants);
  }
  files.write(results, undone);  // before anything is printed: standard output may be closed
  const std::vector<std::string> unmet = unmet_classes(plan, results, options);
  print_results(results, variants, all, undone, seconds);
  constexpr std::size_t most_named = 10;
  for (std::size_t i = 0; i < std::min(unmet.size(), most_named); ++i) fmt::print("NOT MET: {}\n", unmet[i]);
  if (options.slowest > 0) print_slowest(results, static_cast<std::size_t>(options.slowest));
  const int status = exit_status_of(all, undone.never_checked);
  if (status != exit_pass) throw Refusal{status, reason_of(all, undone)};
  if (!undone.never_proved.empty()) {
    throw Refusal{exit_wrong_results,
                  fmt::format("row invariance was never proved of {}", fmt::join(undone.never_proved, ", "))};
  }
  if (!unmet.empty()) {
    throw Refusal{exit_wrong_results, output::counted(static_cast<std::int64_t>(unmet.size()), "class of the model is",
                                                      "classes of the model are") +
                                          " not met by this suite; --coverage lists all"};
  }
}

}  // namespace normquant::validate
