// The operations in float32 as honest people might write them: in any order of the sums that
// docs/numerics.md allows, fused or not, with division and square root as exact or as approximate
// as compilers make them. Every such evaluation must stay inside the bounds.
#pragma once

#include <string>
#include <vector>

#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "reference/types.hpp"

namespace normquant::oracle {

using FloatArray = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatVector = Eigen::ArrayXf;

/// How a sum is ordered. The first two take at most `longest_chain` terms.
enum class Order { sequential, reversed, pairwise, threads, blocks };
/// Terms that may be added one after the other (row_sum_depth of validate/bounds.hpp).
inline constexpr Eigen::Index longest_chain = 96;

/// a / b, in four ways: correctly rounded; as a * (1 / b); two units in the last place too large,
/// or too small. Two units are the most that CUDA's approximate divisions err by (CUDA C++
/// Programming Guide, section "Intrinsic functions": __fdividef; PTX: div.full.f32).
enum class Division { exact, reciprocal, above, below };
/// 1 / sqrt: both correctly rounded, or both approximate with errors of one sign (PTX: sqrt.approx.f32, div.full.f32).
enum class Root { exact, above, below };

/// Where layer norm's mean and variance come from: two passes of sums; or Welford's updates, of the whole row in one chain (of
/// `longest_chain` terms at most), as PyTorch's CPU kernel does them, or as apex's and PyTorch's GPU kernels do. With the latter
/// xhat is h rstd - mean rstd, and the backward starts from h as PyTorch's CPU kernel does.
enum class Moments { two_pass, welford_chain, welford_lanes, welford_threads };

struct Style {
  Order order = Order::pairwise;
  bool fused = false;  ///< products and sums by fmaf; y as (h - mean) weight, with all scalars in one factor
  Division division = Division::exact;
  Root root = Root::exact;
  Moments moments = Moments::two_pass;
};
std::string text_of(const Style& style);

/// Every style of two passes whose sums are allowed over `terms` terms.
std::vector<Style> styles_for(Eigen::Index terms);
/// Every style with Welford's updates for layer norm's forward over rows of `columns`.
std::vector<Style> welford_styles_for(Eigen::Index columns);

/// a / b in that style.
float divide(float a, float b, Division division);

struct ForwardEvaluation {
  FloatVector mean, rstd, quant_scale, dequant_scale;
  FloatArray t;  ///< [M, N] y * quant_scale, before rounding
};
/// h [M, N] is exact in float32, as are weight and bias.
ForwardEvaluation evaluate_forward(const FloatArray& h, const reference::NormQuantForward& forward, const Style& style);

struct BackwardEvaluation {
  FloatArray dx;
  FloatVector dweight, dbias;
};
/// mean (empty for RMS) and rstd are given.
BackwardEvaluation evaluate_backward(const FloatArray& dy, const FloatArray& h, const FloatVector& mean,
                                     const FloatVector& rstd, const reference::NormQuantBackward& backward,
                                     const Style& style);

struct ActivationEvaluation {
  FloatVector dequant_scale;
  FloatArray t;
};
ActivationEvaluation evaluate_activation(const FloatArray& x, const Style& style);

struct WeightEvaluation {
  float dequant_factor = 0;
  FloatArray t;
};
WeightEvaluation evaluate_weight(const FloatArray& w, const Style& style);

}  // namespace normquant::oracle
