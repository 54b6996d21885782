// From timings to the coefficients of the model of costs, and how good it is on shapes that it was not fitted to.
#pragma once

#include <vector>

#include "bench/tune/regret.hpp"
#include "bench/tune/timed_cases.hpp"
#include "kernels/choice/cost_model.hpp"

namespace normquant::tune {

/// How closely the fit follows the timings: variants near the best count most, those slower by `near` half as much. `ridge` keeps
/// coefficients small that the timings hardly tell apart.
struct FitRule {
  double near = 0.06;
  double ridge = 0.1;
};

/// The model with coefficients fitted to these cases, by least squares on logarithms of times within each case. Head and limits
/// are those of `limits`, whose variants have their tunings (choice::find_variants).
choice::CostModel fit_model(const std::vector<TimedCase>& cases, const choice::CostModel& limits,
                            const FitRule& rule = {});

/// The model's choice in each case, made from the variants that passed there.
Regrets regrets_of_model(const choice::CostModel& model, const std::vector<TimedCase>& cases);

/// As often as `folds`: fitted without the shapes (M, N) of a fold, in all their forms, and judged by them.
Regrets cross_validated(const std::vector<TimedCase>& cases, const choice::CostModel& limits, int folds = 6,
                        const FitRule& rule = {});

/// Share of the regrets in thousandths at and below which `share` of the cases lie.
double regret_quantile(const Regrets& regrets, double share);

}  // namespace normquant::tune
