#include "validate/check/readings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

namespace normquant::check {
namespace {

using validate::Algorithm;
using validate::Outcome;

constexpr int alone = -1;

/// One change of the question.
struct Change {
  int dimension = 0;  ///< two changes of one dimension exclude each other; `alone`: no other comes beside it
  std::string option;
  std::function<void(Given&)> apply;
};

/// Defaults of libraries: float32's epsilon (1.19e-07) is that of a norm without one in new versions of PyTorch.
constexpr float usual_eps[] = {1e-5F, 1e-6F, 1e-8F, 1e-12F, std::numeric_limits<float>::epsilon()};

bool in_use(const Given& given, DType type) {
  return std::any_of(given.floating.begin(), given.floating.end(),
                     [type](const auto& named) { return named.second.type == type; });
}

Change slip(validate::Slip slip, std::string words) {
  return {alone, std::move(words), [slip](Given& g) { g.switches.slip = slip; }};
}
Change another_floor(float floor, std::string words) {
  return {alone, std::move(words), [floor](Given& g) { g.problem.quantisation.floor = floor; }};
}

/// Mistakes in quantising, and another scale or floor than was said.
void add_quantisation(const Given& given, std::vector<Change>& changes) {
  using validate::Slip;
  const Quantisation& q = given.problem.quantisation;
  changes.push_back(slip(Slip::cut_off, "codes cut off towards zero"));
  if (q.format == QuantFormat::fp8_e4m3) {
    changes.push_back(slip(Slip::ties_away, "ties away from zero"));
    changes.push_back(slip(Slip::flushed, "codes below 2^-6 flushed to 0"));
    changes.push_back(slip(Slip::nan_beyond_largest, "NaN beyond 448 in place of 448"));
  }
  if (q.has_static_scale()) {
    const float inverse = 1 / q.static_scale;
    changes.push_back({alone, fmt::format("--static-scale {}", inverse),
                       [inverse](Given& g) { g.problem.quantisation.static_scale = inverse; }});
    return;
  }
  if (q.format == QuantFormat::fp8_e4m3) {
    changes.push_back({alone, "the scale of int8, 127 / absmax", [](Given& g) { g.switches.scale_of_int8 = true; }});
  }
  if (q.floor != scale_floor) changes.push_back(another_floor(scale_floor, fmt::format("--floor {}", scale_floor)));
  changes.push_back(another_floor(std::numeric_limits<float>::min(), "no floor of absmax"));
}

/// What the layer may have multiplied, where one answer was asked for; a bias that it forgot.
void add_products(const Given& given, std::vector<Change>& changes) {
  if (given.tensor("linear_bias") != nullptr) {
    changes.push_back({alone, "linear_bias dropped", [](Given& g) { g.switches.drops_linear_bias = true; }});
  }
  if (given.switches.product == Product::any) return;
  for (const Product product : all_products) {
    if (product == Product::any || product == given.switches.product) continue;
    changes.push_back(
        {7, fmt::format("--product {}", name_of(product)), [product](Given& g) { g.switches.product = product; }});
  }
}

std::vector<Change> changes_of(const Given& given) {
  std::vector<Change> changes;
  const validate::Problem& p = given.problem;
  const Switches& s = given.switches;
  const bool forward = s.op == Op::forward, norm = s.op == Op::norm, of_layer = s.op == Op::layer_forward;
  if (forward || s.op == Op::activation_quant) add_quantisation(given, changes);
  if (of_layer) add_products(given, changes);
  if (s.op != Op::weight_quant && !norm && p.quantisation.format == QuantFormat::int8) {
    const bool even = p.rounding == Rounding::half_even;
    changes.push_back({0, fmt::format("--rounding {}", even ? "half_away" : "half_even"),
                       [even](Given& g) { g.problem.rounding = even ? Rounding::half_away : Rounding::half_even; }});
  }
  if (s.algorithm != Algorithm::any) {
    changes.push_back({1, "--algorithm any", [](Given& g) { g.switches.algorithm = Algorithm::any; }});
  }
  if (!forward && !norm && !of_layer) return changes;
  if (given.tensor("mean") == nullptr) {
    const bool layer = p.norm == NormKind::layer;
    changes.push_back({2, fmt::format("--norm {}", layer ? "rms" : "layer"),
                       [layer](Given& g) { g.problem.norm = layer ? NormKind::rms : NormKind::layer; }});
  }
  if (p.residual_out) {
    const bool stored = p.h_source == HSource::stored;
    changes.push_back({3, fmt::format("--h-source {}", stored ? "unrounded" : "stored"),
                       [stored](Given& g) { g.problem.h_source = stored ? HSource::unrounded : HSource::stored; }});
  }
  for (const float eps : usual_eps) {
    if (eps != p.eps) changes.push_back({4, fmt::format("--eps {}", eps), [eps](Given& g) { g.problem.eps = eps; }});
  }
  if (of_layer) return changes;
  for (const DType type : {DType::bfloat16, DType::float16}) {
    if (!in_use(given, type)) continue;
    auto& changed = forward ? s.y_type : s.arithmetic;
    if (changed == type) continue;
    changes.push_back({5, fmt::format("--{} {}", forward ? "y-type" : "arithmetic", name_of(type)),
                       [forward, type](Given& g) { (forward ? g.switches.y_type : g.switches.arithmetic) = type; }});
  }
  return changes;
}

}  // namespace

std::vector<std::string> other_readings(Given& given, const Walk& walk) {
  const Walk quick{walk.threads, /*stop_at_wrong=*/true, {}};
  const auto passes = [&, problem = given.problem, switches = given.switches](const Change& first,
                                                                              const Change* second) {
    first.apply(given);
    if (second != nullptr) second->apply(given);
    const validate::Verdict verdict = check(given, quick);
    given.problem = problem;
    given.switches = switches;
    return verdict.outcome == Outcome::pass && undecided(verdict).empty();
  };
  const std::vector<Change> changes = changes_of(given);
  std::vector<std::string> found;
  for (const Change& change : changes) {
    if (passes(change, nullptr)) found.push_back(change.option);
  }
  if (!found.empty() || given.switches.op == Op::layer_forward) return found;  // its products take long
  for (auto first = changes.begin(); first != changes.end(); ++first) {
    for (auto second = first + 1; second != changes.end(); ++second) {
      if (first->dimension == alone || second->dimension == alone) continue;
      if (first->dimension == second->dimension || !passes(*first, &*second)) continue;
      found.push_back(first->option + " " + second->option);
    }
  }
  return found;
}

}  // namespace normquant::check
