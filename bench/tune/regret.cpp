#include "bench/tune/regret.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "kernels/choice/ranking.hpp"

namespace normquant::tune {
namespace {

const VariantTime* time_of(const TimedCase& timed, const std::string& variant) {
  const auto found = std::find_if(timed.times.begin(), timed.times.end(),
                                  [&](const VariantTime& time) { return time.variant == variant; });
  return found == timed.times.end() ? nullptr : &*found;
}

const VariantTime& best_of(const TimedCase& timed) {
  return *std::min_element(timed.times.begin(), timed.times.end(),
                           [](const VariantTime& a, const VariantTime& b) { return a.median_us < b.median_us; });
}

void add(Regrets& regrets, const TimedCase& timed, const VariantTime* chosen) {
  if (chosen == nullptr) {
    regrets.not_chosen.push_back(timed.text);
    return;
  }
  const VariantTime& best = best_of(timed);
  regrets.cases.push_back(
      {timed.point.op, timed.text, chosen->variant, best.variant, chosen->median_us, best.median_us});
}

std::string line(const CaseRegret& regret) {
  return fmt::format("{:5.1f}%  {}: {} took {:.2f} us, {} {:.2f} us", regret.regret() * 100, regret.text, regret.chosen,
                     regret.chosen_us, regret.best, regret.best_us);
}

std::string by_operation(const Regrets& regrets) {
  std::string text;
  for (const Operation op : all_operations) {
    Regrets some;
    std::copy_if(regrets.cases.begin(), regrets.cases.end(), std::back_inserter(some.cases),
                 [&](const CaseRegret& regret) { return regret.op == op; });
    if (some.cases.empty()) continue;
    text += fmt::format("  {:<20} {}\n", name_of(op), summary(some));
  }
  return text;
}

}  // namespace

const CaseRegret* Regrets::worst() const {
  const auto found = std::max_element(cases.begin(), cases.end(),
                                      [](const CaseRegret& a, const CaseRegret& b) { return a.regret() < b.regret(); });
  return found == cases.end() ? nullptr : &*found;
}

double Regrets::mean() const {
  double sum = 0;
  for (const CaseRegret& regret : cases) sum += regret.regret();
  return cases.empty() ? 0 : sum / static_cast<double>(cases.size());
}

bool Regrets::meets_target() const {
  return !cases.empty() && not_chosen.empty() && worst()->regret() <= worst_target && mean() <= mean_target;
}

Regrets regrets_of_table(const choice::TunedTable& table, const std::vector<TimedCase>& cases) {
  const choice::TableIndex index(table);
  Regrets regrets;
  for (const TimedCase& timed : cases) {
    const VariantTime* chosen = nullptr;
    for (std::uint16_t variant : index.rank(timed.point)) {
      if (chosen == nullptr) chosen = time_of(timed, index.names(timed.point.op)[variant]);
    }
    add(regrets, timed, chosen);
  }
  return regrets;
}

Regrets regrets_of_auto(const std::vector<TimedCase>& cases) {
  Regrets regrets;
  for (const TimedCase& timed : cases) add(regrets, timed, time_of(timed, timed.auto_variant));
  return regrets;
}

std::vector<TimedCase> held_out(const std::vector<TimedCase>& cases, const choice::TunedTable& table) {
  std::vector<TimedCase> kept;
  std::copy_if(cases.begin(), cases.end(), std::back_inserter(kept), [&](const TimedCase& timed) {
    return std::none_of(table.cells.begin(), table.cells.end(),
                        [&](const choice::Cell& cell) { return cell.point == timed.point; });
  });
  return kept;
}

std::string summary(const Regrets& regrets) {
  if (regrets.cases.empty()) return "no cases";
  return fmt::format("worst {:.1f}%, mean {:.2f}%, {} cases", regrets.worst()->regret() * 100, regrets.mean() * 100,
                     regrets.cases.size());
}

std::string to_text(const Regrets& regrets) {
  std::string text = summary(regrets) + "\n" + by_operation(regrets);
  std::vector<CaseRegret> above;
  std::copy_if(regrets.cases.begin(), regrets.cases.end(), std::back_inserter(above),
               [](const CaseRegret& regret) { return regret.regret() > worst_target; });
  std::stable_sort(above.begin(), above.end(),
                   [](const CaseRegret& a, const CaseRegret& b) { return a.regret() > b.regret(); });
  if (!above.empty()) text += fmt::format("above {:.0f}%:\n", worst_target * 100);
  for (const CaseRegret& regret : above) text += line(regret) + "\n";
  for (const std::string& name : regrets.not_chosen) {
    text +=
        fmt::format("no variant that the table suggests was timed, so the rule without a table decides: {}\n", name);
  }
  return text + fmt::format("target (worst {:.0f}%, mean {:.0f}%): {}\n", worst_target * 100, mean_target * 100,
                            regrets.meets_target() ? "met" : "NOT met");
}

}  // namespace normquant::tune
