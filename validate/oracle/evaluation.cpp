#include "validate/oracle/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "validate/oracle/welford.hpp"

namespace normquant::oracle {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float floor_of_scale = 1e-5F;

/// Terms that one thread adds before trees: what row_sum_depth and matrix_sum_depth of validate/bounds.hpp leave room for.
constexpr Eigen::Index block_of_row = 80, block_of_matrix = 144;

/// Two units in the last place away, toward `target`.
float two_units(float value, float target) { return std::nextafter(std::nextafter(value, target), target); }
/// The same with signs: larger or smaller in magnitude.
float magnitude_above(float value) { return two_units(value, std::copysign(infinity, value)); }
float magnitude_below(float value) { return two_units(value, 0.0F); }

float reciprocal_root(float value, Root root) {
  const float exact = std::sqrt(value);
  if (root == Root::above) return magnitude_above(1.0F / std::nextafter(exact, 0.0F));
  if (root == Root::below) return magnitude_below(1.0F / std::nextafter(exact, infinity));
  return 1.0F / exact;
}

/// A sum of terms a * b, or of terms a where b is null.
class Sum {
 public:
  Sum(const Style& style, Eigen::Index terms, const float* a, const float* b, Eigen::Index block)
      : style_(style), terms_(terms), block_(block), a_(a), b_(b) {}

  float value() const {
    switch (style_.order) {
      case Order::sequential: return chain(0, terms_, 1);
      case Order::reversed: return chain(terms_ - 1, terms_, -1);
      case Order::pairwise: return tree(0, terms_);
      case Order::threads: return strided(std::max<Eigen::Index>(1, terms_ / 32));
      case Order::blocks: return contiguous(block_);
    }
    return 0;
  }

 private:
  float add(float sum, Eigen::Index i) const {
    if (b_ == nullptr) return sum + a_[i];
    return style_.fused ? std::fmaf(a_[i], b_[i], sum) : sum + a_[i] * b_[i];
  }
  float chain(Eigen::Index first, Eigen::Index count, Eigen::Index step) const {
    float sum = 0;
    for (Eigen::Index i = first, done = 0; done < count; i += step, ++done) sum = add(sum, i);
    return sum;
  }
  float tree(Eigen::Index first, Eigen::Index count) const {
    if (count <= 1) return count == 1 ? add(0, first) : 0;
    return tree(first, count / 2) + tree(first + count / 2, count - count / 2);
  }
  static float tree_of(const std::vector<float>& values, std::size_t first, std::size_t count) {
    if (count == 1) return values[first];
    return tree_of(values, first, count / 2) + tree_of(values, first + count / 2, count - count / 2);
  }
  /// Thread k adds the terms k, k + threads, ...: 63 at most; then a tree.
  float strided(Eigen::Index threads) const {
    std::vector<float> sums;
    for (Eigen::Index k = 0; k < threads; ++k) {
      sums.push_back(chain(k, (terms_ - k + threads - 1) / threads, threads));
    }
    return tree_of(sums, 0, sums.size());
  }
  /// Thread k adds `length` neighbours; then a tree, largest index first.
  float contiguous(Eigen::Index length) const {
    std::vector<float> sums;
    for (Eigen::Index first = 0; first < terms_; first += length) {
      sums.push_back(chain(first, std::min(length, terms_ - first), 1));
    }
    std::reverse(sums.begin(), sums.end());
    return sums.empty() ? 0 : tree_of(sums, 0, sums.size());
  }

  Style style_;
  Eigen::Index terms_, block_;
  const float *a_, *b_;
};

/// Copied only where the terms do not lie side by side.
using Terms = Eigen::Ref<const FloatVector>;

float sum_of(const Terms& a, const Style& style, Eigen::Index block = block_of_row) {
  return Sum(style, a.size(), a.data(), nullptr, block).value();
}
float sum_of_products(const Terms& a, const Terms& b, const Style& style) {
  return Sum(style, a.size(), a.data(), b.data(), block_of_row).value();
}

float mean_of(float sum, Eigen::Index terms, const Style& style) {
  return divide(sum, static_cast<float>(terms), style.division);
}

/// divisor / 127, or the inverse of quant_scale.
float dequant_scale_of(float divisor, float quant_scale, const Style& style) {
  return style.fused ? divide(1.0F, quant_scale, style.division) : divide(divisor, 127.0F, style.division);
}

FloatVector as_float(const std::optional<reference::Vector>& vector, Eigen::Index columns, float absent) {
  return vector ? FloatVector(vector->cast<float>()) : FloatVector::Constant(columns, absent);
}

}  // namespace

/// No division errs where the quotient is a power of two, or no rounding mode could be told from another; nor where it is 0,
/// nor by 1.
float divide(float a, float b, Division division) {
  int exponent = 0;
  if (a == 0 || b == 1 || std::abs(std::frexp(a / b, &exponent)) == 0.5F) return a / b;
  switch (division) {
    case Division::exact: break;
    case Division::reciprocal: return a * (1.0F / b);
    case Division::above: return magnitude_above(a / b);
    case Division::below: return magnitude_below(a / b);
  }
  return a / b;
}

std::string text_of(const Style& style) {
  constexpr const char* orders[] = {"sequential", "reversed", "pairwise", "threads", "blocks"};
  constexpr const char* divisions[] = {"exact", "reciprocal", "above", "below"};
  constexpr const char* roots[] = {"exact", "above", "below"};
  constexpr const char* moments[] = {"two passes", "one chain of updates", "updates in lanes", "updates by threads"};
  return fmt::format("{}, {}, {}, division {}, root {}", moments[static_cast<int>(style.moments)],
                     orders[static_cast<int>(style.order)], style.fused ? "fused" : "not fused",
                     divisions[static_cast<int>(style.division)], roots[static_cast<int>(style.root)]);
}

std::vector<Style> styles_for(Eigen::Index terms) {
  std::vector<Style> styles;
  for (Order order : {Order::sequential, Order::reversed, Order::pairwise, Order::threads, Order::blocks}) {
    if ((order == Order::sequential || order == Order::reversed) && terms > longest_chain) continue;
    for (bool fused : {false, true}) {
      for (Division division : {Division::exact, Division::reciprocal, Division::above, Division::below}) {
        for (Root root : {Root::exact, Root::above, Root::below}) styles.push_back({order, fused, division, root});
      }
    }
  }
  return styles;
}

std::vector<Style> welford_styles_for(Eigen::Index columns) {
  std::vector<Style> styles;
  for (Moments moments : {Moments::welford_chain, Moments::welford_lanes, Moments::welford_threads}) {
    if (moments == Moments::welford_chain && columns > longest_chain) continue;
    for (Style style : styles_for(1)) {
      style.moments = moments;
      if (style.order == Order::pairwise) styles.push_back(style);
    }
  }
  return styles;
}

namespace {

/// Mean and rstd of a row.
MeanAndVariance moments_of(const FloatVector& h, bool layer, const Style& style) {
  if (layer && style.moments != Moments::two_pass) return welford_moments(h, style);
  MeanAndVariance m;
  if (layer) m.mean = mean_of(sum_of(h, style), h.size(), style);
  const FloatVector centred = h - m.mean;
  m.var = mean_of(sum_of_products(centred, centred, style), h.size(), style);
  return m;
}

}  // namespace

ForwardEvaluation evaluate_forward(const FloatArray& h, const reference::NormQuantForward& forward,
                                   const Style& style) {
  const Eigen::Index rows = h.rows(), columns = h.cols();
  const bool layer = forward.norm == reference::NormKind::layer;
  const FloatVector weight = as_float(forward.weight, columns, 1.0F), bias = as_float(forward.bias, columns, 0.0F);
  ForwardEvaluation e{FloatVector::Zero(rows), FloatVector(rows), FloatVector(rows), FloatVector(rows),
                      FloatArray(rows, columns)};
  for (Eigen::Index i = 0; i < rows; ++i) {
    const MeanAndVariance moments = moments_of(h.row(i).transpose(), layer, style);
    e.mean(i) = moments.mean;
    const FloatVector centred = h.row(i).transpose() - e.mean(i);
    e.rstd(i) = reciprocal_root(moments.var + static_cast<float>(forward.eps), style.root);
    const bool shifted = layer && style.moments != Moments::two_pass;
    const float shift = -e.rstd(i) * e.mean(i);
    FloatVector y(columns);
    for (Eigen::Index j = 0; j < columns; ++j) {
      const float scaled = style.fused ? std::fmaf(h(i, j), e.rstd(i), shift) : h(i, j) * e.rstd(i) + shift;
      const float xhat = shifted ? scaled : centred(j) * e.rstd(i);
      y(j) = style.fused ? std::fmaf(xhat, weight(j), bias(j)) : xhat * weight(j) + bias(j);
    }
    const float divisor = std::max(y.abs().maxCoeff(), floor_of_scale);
    e.quant_scale(i) = divide(127.0F, divisor, style.division);
    e.dequant_scale(i) = dequant_scale_of(divisor, e.quant_scale(i), style);
    // Without a bias, rstd need not be in y: z = (h - mean) weight, largest |z|, one factor; unless z leaves float32.
    const FloatVector z = centred * weight;
    const float largest = z.abs().maxCoeff() * e.rstd(i);
    if (style.fused && !shifted && !forward.bias && largest > floor_of_scale && largest < infinity) {
      e.t.row(i) = z.transpose() * (divide(127.0F, largest, style.division) * e.rstd(i));
    } else {
      e.t.row(i) = y.transpose() * e.quant_scale(i);
    }
  }
  return e;
}

namespace {

/// dx = dy weight rstd + b h + c with b = (sum_wdy mean - sum_wdyh) rstd^3 / N, c = -b mean - sum_wdy rstd / N.
FloatVector dx_from_h(const FloatVector& dy, const FloatVector& h, float mean, float rstd, const FloatVector& weight,
                      const Style& style) {
  const FloatVector wdy = dy * weight;
  const float of_h = sum_of_products(wdy, h, style), of_wdy = sum_of(wdy, style);
  const float share = divide(1.0F, static_cast<float>(h.size()), style.division);
  const float b = (of_wdy * mean - of_h) * rstd * rstd * rstd * share, c = -b * mean - of_wdy * rstd * share;
  FloatVector dx(h.size());
  for (Eigen::Index j = 0; j < h.size(); ++j) {
    const float own = rstd * dy(j) * weight(j);
    dx(j) = style.fused ? std::fmaf(b, h(j), own) + c : own + b * h(j) + c;
  }
  return dx;
}

}  // namespace

BackwardEvaluation evaluate_backward(const FloatArray& dy, const FloatArray& h, const FloatVector& mean,
                                     const FloatVector& rstd, const reference::NormQuantBackward& backward,
                                     const Style& style) {
  const Eigen::Index rows = dy.rows(), columns = dy.cols();
  const bool layer = backward.norm == reference::NormKind::layer;
  const FloatVector weight = as_float(backward.weight, columns, 1.0F);
  const bool from_h = layer && style.moments != Moments::two_pass;
  FloatArray xhat(rows, columns);
  BackwardEvaluation e{FloatArray(rows, columns), FloatVector(columns), FloatVector(columns)};
  for (Eigen::Index i = 0; i < rows; ++i) {
    if (from_h) {
      const float shift = -rstd(i) * mean(i);
      for (Eigen::Index j = 0; j < columns; ++j) {
        xhat(i, j) = style.fused ? std::fmaf(rstd(i), h(i, j), shift) : rstd(i) * h(i, j) + shift;
      }
      e.dx.row(i) = dx_from_h(dy.row(i), h.row(i), mean(i), rstd(i), weight, style);
      continue;
    }
    xhat.row(i) = (h.row(i) - (layer ? mean(i) : 0.0F)) * rstd(i);
    const FloatVector wdy = dy.row(i).transpose() * weight, hat = xhat.row(i).transpose();
    const float c1 = mean_of(sum_of_products(hat, wdy, style), columns, style);
    const float c2 = layer ? mean_of(sum_of(wdy, style), columns, style) : 0.0F;
    for (Eigen::Index j = 0; j < columns; ++j) {
      const float shift = style.fused ? std::fmaf(hat(j), c1, c2) : hat(j) * c1 + c2;
      e.dx(i, j) = (wdy(j) - shift) * rstd(i);
    }
  }
  for (Eigen::Index j = 0; j < columns; ++j) {
    e.dweight(j) = sum_of_products(dy.col(j), xhat.col(j), style);
    e.dbias(j) = sum_of(dy.col(j), style);
  }
  return e;
}

ActivationEvaluation evaluate_activation(const FloatArray& x, const Style& style) {
  ActivationEvaluation e{FloatVector(x.rows()), FloatArray(x.rows(), x.cols())};
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    const float divisor = std::max(x.row(i).abs().maxCoeff(), floor_of_scale);
    const float quant_scale = divide(127.0F, divisor, style.division);
    e.dequant_scale(i) = dequant_scale_of(divisor, quant_scale, style);
    e.t.row(i) = x.row(i) * quant_scale;
  }
  return e;
}

WeightEvaluation evaluate_weight(const FloatArray& w, const Style& style) {
  const FloatVector magnitudes = w.abs().reshaped<Eigen::RowMajor>();
  WeightEvaluation e;
  e.dequant_factor = std::max(mean_of(sum_of(magnitudes, style, block_of_matrix), w.size(), style), floor_of_scale);
  e.t = w * divide(1.0F, e.dequant_factor, style.division);
  return e;
}

}  // namespace normquant::oracle
