// Regret: the time of the variant that was chosen over the time of the best, less 1.
#pragma once

#include <string>
#include <vector>

#include "bench/tune/timed_cases.hpp"
#include "kernels/choice/tuned_table.hpp"

namespace normquant::tune {

/// What a table is meant to reach on shapes that were left out of its tuning.
inline constexpr double worst_target = 0.03, mean_target = 0.01;

struct CaseRegret {
  Operation op = Operation::norm_quant_forward;
  std::string text, chosen, best;
  double chosen_us = 0, best_us = 0;
  double regret() const { return chosen_us / best_us - 1; }
};

/// The regrets of several cases.
struct Regrets {
  std::vector<CaseRegret> cases;
  std::vector<std::string> not_chosen;  ///< cases of which no variant suggested was timed: the rule without a table

  const CaseRegret* worst() const;  ///< null when there are no cases
  double mean() const;              ///< 0 when there are none
  bool meets_target() const;
};

/// The table's choice in each case, made from the variants that passed there.
Regrets regrets_of_table(const choice::TunedTable& table, const std::vector<TimedCase>& cases);

/// What `auto` stood for when the cases were timed.
Regrets regrets_of_auto(const std::vector<TimedCase>& cases);

/// The cases that no cell of the table was made from.
std::vector<TimedCase> held_out(const std::vector<TimedCase>& cases, const choice::TunedTable& table);

/// `worst 2.1%, mean 0.34%, 52 cases`.
std::string summary(const Regrets& regrets);

/// Worst, mean, each operation, the cases above the target, and whether it is met; some lines.
std::string to_text(const Regrets& regrets);

}  // namespace normquant::tune
