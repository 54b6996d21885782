#include "validate/oracle/tightness.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "reference/activation_quant.hpp"
#include "reference/weight_quant.hpp"
#include "validate/bounds.hpp"
#include "validate/inputs.hpp"
#include "validate/oracle/evaluation.hpp"

namespace normquant::oracle {
namespace {

using validate::Algorithm;
using validate::Array;
using validate::Problem;
using validate::Tensor;
using validate::Values;
using validate::Vector;

/// Collects the nearest of each tensor.
class Collector {
 public:
  explicit Collector(const Problem& problem) : problem_(problem) {}

  /// `computed`, `exact` and `most` have the same shape; what is compared is float32's value, so that no rounding to a storage
  /// type is added.
  template <class Computed>
  void add(const std::string& tensor, const Style& style, const Computed& computed, const Array& exact,
           const Array& most) {
    Nearest& nearest = of(tensor);
    const Array values = computed.template cast<double>();
    for (Eigen::Index i = 0; i < values.rows(); ++i) {
      for (Eigen::Index j = 0; j < values.cols(); ++j) {
        if (!std::isfinite(exact(i, j)) || std::isinf(most(i, j))) continue;
        const double error = std::abs(values(i, j) - exact(i, j));
        ++nearest.evaluated;
        if (!(error <= most(i, j))) ++nearest.outside;
        const double ratio = error == 0 ? 0 : error / most(i, j);
        if (!(ratio > nearest.worst)) continue;
        nearest.worst = ratio;
        nearest.worst_style = text_of(style);
      }
    }
  }
  std::vector<Nearest> take() { return std::move(all_); }

 private:
  Nearest& of(const std::string& tensor) {
    const auto found = std::find_if(all_.begin(), all_.end(), [&](const Nearest& n) { return n.tensor == tensor; });
    if (found != all_.end()) return *found;
    return all_.emplace_back(Nearest{problem_.op, tensor, to_text(problem_), problem_.columns, 0, {}, 0, 0});
  }

  Problem problem_;
  std::vector<Nearest> all_;
};

/// A third where x is constant: what the kernels are given there adds up without rounding.
Array tensor(const Problem& p, Tensor which, std::int64_t rows) {
  if (which == Tensor::x && p.values == Values::constant) return Array::Constant(rows, p.columns, double{1.0F / 3.0F});
  return validate::input_tensor(p, which, DType::float32, rows, p.columns).values();
}

reference::NormQuantForward forward_of(const Problem& p) {
  const auto norm = p.norm == NormKind::layer ? reference::NormKind::layer : reference::NormKind::rms;
  reference::NormQuantForward forward{norm, reference::Rounding::half_away, static_cast<double>(p.eps), {}, {}};
  if (p.weight) forward.weight = tensor(p, Tensor::weight, 1).row(0).transpose();
  if (p.bias) forward.bias = tensor(p, Tensor::bias, 1).row(0).transpose();
  return forward;
}

/// float32's own rounding of a result that the bound is for.
Array with_rounding(const Array& bound, const Array& truth) {
  return bound + 0x1p-24 * (truth.abs() + bound) + 0x1p-150;
}

/// The tensor's name, with the family of its bounds where it is not that of two passes.
std::string named(const char* tensor, Algorithm algorithm) {
  return algorithm == Algorithm::two_pass ? tensor : std::string(tensor) + ", welford";
}

void forward_cases(const Problem& p, Algorithm algorithm, const std::vector<Style>& styles, Collector& collector) {
  const Array h = tensor(p, Tensor::x, p.rows);
  const auto forward = forward_of(p);
  const auto truth = reference::norm_quant_forward(h, forward);
  const auto bounds = validate::forward_bounds(h, forward, truth, algorithm);
  for (const Style& style : styles) {
    const auto e = evaluate_forward(h.cast<float>(), forward, style);
    if (p.norm == NormKind::layer) {
      collector.add(named("mean", algorithm), style, e.mean, truth.mean, with_rounding(bounds.mean_error, truth.mean));
    }
    collector.add(named("rstd", algorithm), style, e.rstd, truth.rstd,
                  with_rounding(truth.rstd * bounds.rstd_error, truth.rstd));
    collector.add(named("dequant_scale", algorithm), style, e.dequant_scale, bounds.quant.dequant_scale,
                  with_rounding(bounds.quant.dequant_scale * bounds.quant.scale_error, bounds.quant.dequant_scale));
    collector.add(named("t", algorithm), style, e.t, bounds.quant.t, bounds.quant.t_error);
  }
}

void backward_cases(const Problem& p, Algorithm algorithm, Collector& collector) {
  const Array h = tensor(p, Tensor::x, p.rows), dy = tensor(p, Tensor::dy, p.rows);
  const auto forward = forward_of(p);
  const auto statistics = reference::norm_quant_forward(h, forward);
  const Vector mean = statistics.mean.cast<float>().cast<double>(), rstd = statistics.rstd.cast<float>().cast<double>();
  const reference::NormQuantBackward backward{forward.norm, forward.weight};
  const auto truth = reference::norm_quant_backward(dy, h, mean, rstd, nullptr, backward);
  const auto bounds =
      validate::backward_bounds(dy, rstd, nullptr, truth, Vector::Ones(p.rows), p.rows, algorithm, mean);
  for (Style style : styles_for(std::max(p.columns, p.rows))) {
    if (algorithm != Algorithm::two_pass) style.moments = Moments::welford_chain;
    const auto e =
        evaluate_backward(dy.cast<float>(), h.cast<float>(), mean.cast<float>(), rstd.cast<float>(), backward, style);
    collector.add(named("dx", algorithm), style, e.dx, truth.dx, with_rounding(bounds.dx, truth.dx));
    collector.add(named("dweight", algorithm), style, e.dweight, truth.dweight,
                  with_rounding(bounds.dweight, truth.dweight));
    collector.add(named("dbias", algorithm), style, e.dbias, truth.dbias, with_rounding(bounds.dbias, truth.dbias));
  }
}

void activation_cases(const Problem& p, Collector& collector) {
  const Array x = tensor(p, Tensor::x, p.rows);
  const auto bounds = validate::activation_bounds(x, reference::activation_quant(x));
  for (const Style& style : styles_for(p.columns)) {
    const auto e = evaluate_activation(x.cast<float>(), style);
    collector.add("dequant_scale", style, e.dequant_scale, bounds.dequant_scale,
                  with_rounding(bounds.dequant_scale * bounds.scale_error, bounds.dequant_scale));
    collector.add("t", style, e.t, bounds.t, bounds.t_error);
  }
}

void weight_cases(const Problem& p, Collector& collector) {
  const Array w = tensor(p, Tensor::x, p.rows);
  const auto truth = reference::weight_quant(w);
  const auto bounds = validate::weight_bounds(w, truth, w.size());
  const Array factor = Array::Constant(1, 1, truth.dequant_factor);
  for (const Style& style : styles_for(w.size())) {
    const auto e = evaluate_weight(w.cast<float>(), style);
    collector.add("dequant_factor", style, FloatArray::Constant(1, 1, e.dequant_factor), factor,
                  with_rounding(factor * bounds.scale_error, factor));
    collector.add("t", style, e.t, bounds.t, bounds.t_error);
  }
}

/// Both families of algorithms where the norm has two moments.
void forward_tightness(const Problem& problem, Collector& collector) {
  forward_cases(problem, Algorithm::two_pass, styles_for(problem.columns), collector);
  if (problem.norm != NormKind::layer) return;
  forward_cases(problem, Algorithm::welford, welford_styles_for(problem.columns), collector);
}
void backward_tightness(const Problem& problem, Collector& collector) {
  backward_cases(problem, Algorithm::two_pass, collector);
  if (problem.norm == NormKind::layer) backward_cases(problem, Algorithm::welford, collector);
}
void no_cases(const Problem&, Collector&) {}  // the layer's bounds are those of its parts

constexpr PerOperation<void (*)(const Problem&, Collector&)> cases_of = {
    forward_tightness, backward_tightness, activation_cases, weight_cases, no_cases, no_cases};

}  // namespace

std::vector<Nearest> nearest_of(const Problem& problem) {
  if (problem.rows == 0) return {};
  Collector collector(problem);
  cases_of[problem.op](problem, collector);
  return collector.take();
}

std::vector<Problem> tightness_problems(std::uint64_t seed) {
  constexpr Operation ops[] = {Operation::norm_quant_forward, Operation::norm_quant_backward,
                               Operation::activation_quant, Operation::weight_quant};
  constexpr Values kinds[] = {Values::normal, Values::outlier_columns, Values::huge_mean, Values::constant,
                              Values::tiny,   Values::one_hot,         Values::large};
  std::vector<Problem> problems;
  for (Operation op : ops) {
    const bool norms = op == Operation::norm_quant_forward || op == Operation::norm_quant_backward;
    for (std::int64_t columns : {1, 3, 31, 96, 97, 257, 1024, 4096}) {
      for (Values values : kinds) {
        for (NormKind norm : {NormKind::rms, NormKind::layer}) {
          if (norm == NormKind::layer && !norms) continue;
          for (bool bias : {false, true}) {
            if (bias && op != Operation::norm_quant_forward) continue;
            Problem p;
            p.op = op;
            p.rows = columns > 512 ? 5 : 17;
            p.columns = columns;
            p.norm = norm;
            if (norms) p.weight = DType::float32;
            if (bias) p.bias = DType::float32;
            p.values = values;
            p.eps = 1e-5F;
            p.seed = seed;
            problems.push_back(p);
          }
        }
      }
    }
  }
  return problems;
}

std::vector<Tightness> tightness_of(const std::vector<Nearest>& cases) {
  std::vector<Tightness> all;
  std::vector<std::map<std::int64_t, double>> worst_by_length;
  for (const Nearest& nearest : cases) {
    auto found = std::find_if(all.begin(), all.end(),
                              [&](const Tightness& t) { return t.op == nearest.op && t.tensor == nearest.tensor; });
    if (found == all.end()) {
      found = all.insert(all.end(), Tightness{nearest.op, nearest.tensor});
      worst_by_length.emplace_back();
    }
    found->evaluated += nearest.evaluated;
    found->outside += nearest.outside;
    found->worst = std::max(found->worst, nearest.worst);
    if (nearest.worst == 0) continue;
    double& worst = worst_by_length[static_cast<std::size_t>(found - all.begin())][nearest.columns];
    worst = std::max(worst, nearest.worst);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<double> looseness;
    for (const auto& [columns, worst] : worst_by_length[i]) looseness.push_back(1 / worst);
    if (looseness.empty()) continue;
    const auto middle = looseness.begin() + static_cast<std::ptrdiff_t>(looseness.size() / 2);
    std::nth_element(looseness.begin(), middle, looseness.end());
    all[i].lengths = static_cast<std::int64_t>(looseness.size());
    all[i].median = *middle;
  }
  return all;
}

}  // namespace normquant::oracle
