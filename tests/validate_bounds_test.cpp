// The bounds let every honest float32 evaluation pass and stop evaluations with a mistake.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "validate/bounds.hpp"
#include "validate/comparison.hpp"
#include "validate/inputs.hpp"

namespace normquant::validate {
namespace {

using Sum = std::function<float(const std::vector<float>&)>;

float sequential(const std::vector<float>& terms) { return std::accumulate(terms.begin(), terms.end(), 0.0F); }
float reversed(const std::vector<float>& terms) { return std::accumulate(terms.rbegin(), terms.rend(), 0.0F); }
float pairwise(const std::vector<float>& terms) {
  std::vector<float> level = terms;
  while (level.size() > 1) {
    for (std::size_t i = 0; i < level.size() / 2; ++i) level[i] = level[2 * i] + level[2 * i + 1];
    if (level.size() % 2 == 1) level[level.size() / 2] = level.back();
    level.resize((level.size() + 1) / 2);
  }
  return level.empty() ? 0.0F : level[0];
}

/// A float32 forward as somebody else might write it, with a place for one mistake.
struct Evaluation {
  Sum sum = sequential;
  bool fused = true;
  bool eps_outside_root = false, unbiased = false, truncates = false, no_floor = false, bias_before_weight = false,
       mean_ignored = false, absmax_signed = false;

  struct Result {
    float mean = 0, rstd = 0, scale = 0;
    std::vector<int> codes;
  };

  Result row(const Eigen::ArrayXf& h, const reference::NormQuantForward& f) const {
    const auto n = static_cast<std::size_t>(h.size());
    const auto columns = static_cast<float>(n);
    std::vector<float> terms(h.begin(), h.end());
    Result r;
    if (f.norm == reference::NormKind::layer && !mean_ignored) r.mean = sum(terms) / columns;
    for (float& t : terms) t = (t - r.mean) * (t - r.mean);
    const float var = sum(terms) / (unbiased ? columns - 1 : columns);
    const auto eps = static_cast<float>(f.eps);
    r.rstd = eps_outside_root ? 1.0F / (std::sqrt(var) + eps) : 1.0F / std::sqrt(var + eps);
    std::vector<float> y(n);
    float absmax = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto j = static_cast<Eigen::Index>(i);
      const float xhat = (h[j] - r.mean) * r.rstd;
      const float w = f.weight ? static_cast<float>((*f.weight)[j]) : 1.0F;
      const float b = f.bias ? static_cast<float>((*f.bias)[j]) : 0.0F;
      y[i] = bias_before_weight ? (xhat + b) * w : fused ? std::fma(xhat, w, b) : xhat * w + b;
      absmax = std::max(absmax, absmax_signed ? y[i] : std::abs(y[i]));
    }
    r.scale = 127.0F / (no_floor ? absmax : std::max(absmax, 1e-5F));
    for (float value : y) {
      const float t = value * r.scale;
      r.codes.push_back(static_cast<int>(truncates ? std::trunc(t) : std::round(t)));
    }
    return r;
  }
};

struct Subject {
  Array h;
  reference::NormQuantForward forward;
};

Subject subject(reference::NormKind norm, Values values, std::int64_t columns, bool bias, std::uint64_t seed) {
  Problem p;
  p.values = values;
  p.seed = seed;
  Subject s;
  s.h = input_tensor(p, Tensor::x, DType::float32, 4, columns).values();
  s.forward = {norm, reference::Rounding::half_away, static_cast<float>(1e-5), {}, {}};
  s.forward.weight = input_tensor(p, Tensor::weight, DType::float32, 1, columns).values().row(0).transpose();
  if (bias) s.forward.bias = input_tensor(p, Tensor::bias, DType::float32, 1, columns).values().row(0).transpose();
  return s;
}

Verdict judge(const Subject& s, const Evaluation& evaluation) {
  const auto truth = reference::norm_quant_forward(s.h, s.forward);
  const ForwardBounds bounds = forward_bounds(s.h, s.forward, truth);
  Comparison comparison;
  for (Eigen::Index i = 0; i < s.h.rows(); ++i) {
    const auto r = evaluation.row(s.h.row(i).cast<float>().transpose(), s.forward);
    comparison.value("mean", i, 0, DType::float32, encode(DType::float32, r.mean), truth.mean(i), bounds.mean_error(i));
    comparison.value("rstd", i, 0, DType::float32, encode(DType::float32, r.rstd), truth.rstd(i),
                     truth.rstd(i) * bounds.rstd_error(i));
    for (Eigen::Index j = 0; j < s.h.cols(); ++j) {
      comparison.code("codes", i, j, r.codes[static_cast<std::size_t>(j)], bounds.quant.t(i, j),
                      bounds.quant.t_error(i, j), s.forward.rounding, -128, 127);
    }
  }
  return comparison.verdict();
}

constexpr auto layer = reference::NormKind::layer;
constexpr auto rms = reference::NormKind::rms;

/// 32 terms a thread, then a tree: the least sharing that row_sum_depth assumes of long rows.
float shared_by_threads(const std::vector<float>& terms) {
  std::vector<float> threads(std::max<std::size_t>(1, terms.size() / 32), 0.0F);
  for (std::size_t i = 0; i < terms.size(); ++i) threads[i % threads.size()] += terms[i];
  return pairwise(threads);
}

TEST(Bounds, HonestEvaluationsPassInEveryOrder) {
  struct Order {
    Sum sum;
    std::int64_t longest;  // one thread may add this many terms one after the other, see row_sum_depth
  };
  for (const auto& [sum, longest] :
       {Order{sequential, 96}, Order{reversed, 96}, Order{shared_by_threads, 1 << 20}, Order{pairwise, 1 << 20}}) {
    for (bool fused : {false, true}) {
      Evaluation honest;
      honest.sum = sum;
      honest.fused = fused;
      for (auto norm : {layer, rms}) {
        for (Values values : {Values::normal, Values::outlier_columns, Values::huge_mean, Values::constant,
                              Values::tiny, Values::zeros, Values::one_hot, Values::large}) {
          for (std::int64_t columns : {1, 2, 31, 96, 257, 4096}) {
            if (columns > longest) continue;
            for (bool bias : {false, true}) {
              const Verdict verdict = judge(subject(norm, values, columns, bias, 11), honest);
              EXPECT_EQ(verdict.outcome, Outcome::pass)
                  << verdict.reason << " " << name_of(values) << " N=" << columns << " bias=" << bias;
            }
          }
        }
      }
    }
  }
}

void expect_stopped(const Evaluation& evaluation, const Subject& s) {
  EXPECT_EQ(judge(s, Evaluation{}).outcome, Outcome::pass) << "the subject itself must be sound";
  EXPECT_EQ(judge(s, evaluation).outcome, Outcome::wrong);
}

TEST(Bounds, StopEpsOutsideTheRoot) {
  Evaluation e;
  e.eps_outside_root = true;
  expect_stopped(e, subject(rms, Values::normal, 512, false, 1));
}
TEST(Bounds, StopTheUnbiasedVariance) {
  Evaluation e;
  e.unbiased = true;
  expect_stopped(e, subject(layer, Values::normal, 4096, false, 1));
}
TEST(Bounds, StopTruncation) {
  Evaluation e;
  e.truncates = true;
  expect_stopped(e, subject(rms, Values::normal, 64, false, 1));
}
TEST(Bounds, StopAMissingFloor) {
  Evaluation e;
  e.no_floor = true;
  expect_stopped(e, subject(rms, Values::tiny, 64, false, 1));
}
TEST(Bounds, StopABiasInTheWrongPlace) {
  Evaluation e;
  e.bias_before_weight = true;
  expect_stopped(e, subject(layer, Values::normal, 512, true, 1));
}
TEST(Bounds, StopAMissingMean) {
  Evaluation e;
  e.mean_ignored = true;
  expect_stopped(e, subject(layer, Values::normal, 512, false, 1));
}
TEST(Bounds, StopAMaximumWithoutMagnitude) {
  Evaluation e;
  e.absmax_signed = true;
  expect_stopped(e, subject(rms, Values::normal, 512, false, 3));
}

TEST(Bounds, FewCodesOfRandomFloat32InputAreAmbiguous) {
  for (auto norm : {layer, rms}) {
    const Verdict verdict = judge(subject(norm, Values::normal, 4096, true, 5), Evaluation{});
    EXPECT_LE(static_cast<double>(verdict.codes_ambiguous), 1e-3 * static_cast<double>(verdict.codes_checked));
  }
}

TEST(Bounds, AMeanWhoseSumLeavesFloat32IsFree) {
  Subject s = subject(layer, Values::normal, 64, false, 1);
  s.h.row(1) = s.h.row(1).sign() * 3e38;
  const ForwardBounds bounds = forward_bounds(s.h, s.forward, reference::norm_quant_forward(s.h, s.forward));
  EXPECT_TRUE(std::isinf(bounds.mean_error(1)));
  EXPECT_LT(bounds.mean_error(0), 1e-4);
}

TEST(Bounds, TheMeanOfARowWhoseSquaresLeaveFloat32HasABound) {
  Subject s = subject(layer, Values::normal, 512, false, 1);
  s.h.row(1) = 3e19 + 1e18 * s.h.row(1).sign();
  const auto truth = reference::norm_quant_forward(s.h, s.forward);
  ASSERT_TRUE(std::isnan(truth.rstd(1)));
  const double bound = forward_bounds(s.h, s.forward, truth).mean_error(1);
  EXPECT_GT(bound, 3e19 * 0x1p-24);
  EXPECT_LT(bound, 3e19 * 0x1p-16);
}

TEST(Bounds, ExactTiesHaveOneAdmissibleCode) {
  Problem p;
  p.op = Operation::activation_quant;
  p.values = Values::ties;
  const Array x = input_values(p, Tensor::x, 5, 300);
  const QuantBounds bounds = activation_bounds(x, reference::activation_quant(x));
  EXPECT_EQ(bounds.t_error.maxCoeff(), 0.0);
  EXPECT_GT((bounds.t - bounds.t.floor() == 0.5).count(), 1000);
}

}  // namespace
}  // namespace normquant::validate
