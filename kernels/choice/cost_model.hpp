// The model of costs: what a variant's launch takes beside that of other variants, at shapes that nobody timed.
//
//   # a comment
//   device NVIDIA H200
//   compute_capability 9.0
//   sm_count 132
//   resident_clusters 66 32 15 7
//   norm_quant_forward one_pass_e8 all always=0.0312 idle*large=0.4100
//   norm_quant_forward one_pass_e8 rms most_threads=1024 warps=64 early=-0.0200
//
// A cost is the sum of what is known of the launch (cost_features.hpp), each times its coefficient: those of the line `all` and
// of the line of the form. Costs are natural logarithms of times, so a difference of 0.01 is 1%; of one variant alone they say
// nothing. most_threads and warps say what the kernel of that form may use (launch_plan.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "choice/cost_features.hpp"
#include "choice/launch_plan.hpp"
#include "choice/point.hpp"

namespace normquant::choice {

/// rms, codes, residual, layer; no_out is the backward's.
inline constexpr std::size_t model_form_count = 5;
std::size_t model_form(const Point& point);

/// One variant: a coefficient a feature, by form.
struct VariantCosts {
  std::string variant;
  PlanTuning tuning;      ///< filled in by who installs the model
  std::size_t place = 0;  ///< in variants<Args>(), filled in likewise
  std::array<PlanLimits, model_form_count> limits = {};
  std::array<Features, model_form_count> coefficients = {};
};

struct CostModel {
  std::string device;
  int compute_capability = 0;  ///< 10 * major + minor; 0: not said
  PlanDevice plan_device;
  std::array<std::vector<VariantCosts>, all_operations.size()> variants;  ///< by operation, in the file's order
};

/// The model of that text. False, with a sentence that names the line in `why`, when it is malformed.
bool parse_model(std::string_view text, CostModel& model, std::string& why);

/// The text of a model, with `comments` (a line each, without '#') on top; coefficients with four decimals, a line a variant and form.
std::string to_text(const CostModel& model, const std::vector<std::string>& comments);

/// Variants with costs, cheapest first.
struct CostRanking {
  static constexpr std::size_t most = 32;
  std::array<std::uint16_t, most> places{};
  std::array<float, most> costs{};
  std::size_t count = 0;
};

/// The variants that the model knows and that serve, as far as it knows. Empty for what it was not fitted to: other operations,
/// float32. Pure; allocates nothing.
CostRanking rank(const CostModel& model, const Point& point);

}  // namespace normquant::choice
