#include "validate/check/readings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

namespace normquant::check {
namespace {

using validate::Algorithm;
using validate::Outcome;

/// One change of the question.
struct Change {
  int dimension = 0;  ///< two changes of one dimension exclude each other
  std::string option;
  std::function<void(Given&)> apply;
};

/// Defaults of libraries: float32's epsilon (1.19e-07) is that of a norm without one in new versions of PyTorch.
constexpr float usual_eps[] = {1e-5F, 1e-6F, 1e-8F, 1e-12F, std::numeric_limits<float>::epsilon()};

bool in_use(const Given& given, DType type) {
  return std::any_of(given.floating.begin(), given.floating.end(),
                     [type](const auto& named) { return named.second.type == type; });
}

std::vector<Change> changes_of(const Given& given) {
  std::vector<Change> changes;
  const validate::Problem& p = given.problem;
  const Switches& s = given.switches;
  const bool forward = s.op == Op::forward, norm = s.op == Op::norm;
  if (s.op != Op::weight_quant && !norm) {
    const bool even = p.rounding == Rounding::half_even;
    changes.push_back({0, fmt::format("--rounding {}", even ? "half_away" : "half_even"),
                       [even](Given& g) { g.problem.rounding = even ? Rounding::half_away : Rounding::half_even; }});
  }
  if (s.algorithm != Algorithm::any) {
    changes.push_back({1, "--algorithm any", [](Given& g) { g.switches.algorithm = Algorithm::any; }});
  }
  if (!forward && !norm) return changes;
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
  if (!found.empty()) return found;
  for (auto first = changes.begin(); first != changes.end(); ++first) {
    for (auto second = first + 1; second != changes.end(); ++second) {
      if (first->dimension == second->dimension || !passes(*first, &*second)) continue;
      found.push_back(first->option + " " + second->option);
    }
  }
  return found;
}

}  // namespace normquant::check
