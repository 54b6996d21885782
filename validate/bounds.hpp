// How far an honest float32 evaluation may stray from the float64 truth. docs/numerics.md derives
// it, and every function here is one formula of that page.
//
// u = 2^-24 is float32's unit roundoff. gamma(n) = n u / (1 - n u) bounds the effect of n roundings
// (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
#pragma once

#include <cstdint>

#include "reference/activation_quant.hpp"
#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "reference/weight_quant.hpp"
#include "validate/host_tensor.hpp"

namespace normquant::validate {

using Vector = reference::Vector;

namespace float32_arithmetic {
inline constexpr double u = 0x1p-24;
/// A product below float32's smallest normal number may be lost altogether.
inline constexpr double underflow = 0x1p-126;
/// Products of two errors, each below 2^-11 relatively, are below 2^-10 of the first-order bound.
inline constexpr double second_order = 1 + 0x1p-10;
}  // namespace float32_arithmetic

double gamma(double roundings);

/// Relative error of a division, in u: two units in the last place, as of CUDA's approximate ones.
/// None where the quotient is a power of two.
inline constexpr double division = 4;
/// 1 / sqrt: a square root one unit off, then such a division.
inline constexpr double reciprocal_root = 2 + division;

/// Most additions that a term may go through in an honest sum over N columns: a thread's own terms, then a tree. Rows
/// up to 96 may be summed in any order; longer rows are shared by threads, 1024 at most.
double row_sum_depth(std::int64_t columns);
/// The same over M rows: a block's own rows, then the partial sums of the blocks.
double column_sum_depth(std::int64_t rows);
/// The same over all elements of a weight matrix: up to 144 of a thread, then trees over at most 2^32 threads.
double matrix_sum_depth(std::int64_t elements);

/// Families of honest algorithms, each with its own bounds (docs/numerics.md, "Other algorithms").
enum class Algorithm {
  two_pass,  ///< the mean first, then the squares of h - mean; xhat = (h - mean) rstd; the backward from xhat
  welford,   ///< layer norm by Welford's updates and merges of parts; xhat = h rstd - mean rstd; the backward from h
  any        ///< whichever of them allows more
};

/// y and its codes: t = y * quant_scale before rounding, and what may be off.
struct QuantBounds {
  Array t;               ///< [M, N] y * quant_scale
  Array t_error;         ///< [M, N] |computed t - t|
  Vector dequant_scale;  ///< [M] max(absmax, floor) / 127 or 448; by a static scale 1 / quant_scale
  Vector scale_error;    ///< [M] relative error of quant_scale and dequant_scale
  reference::Quantisation quantisation{};
};

/// Bounds of norm_quant_forward's row values and codes.
struct ForwardBounds {
  Vector mean_error;  ///< [M] absolute
  Vector rstd_error;  ///< [M] relative
  QuantBounds quant;
};
ForwardBounds forward_bounds(const Array& h, const reference::NormQuantForward& forward,
                             const reference::NormQuantForwardResult& truth, Algorithm algorithm = Algorithm::two_pass);

/// Bounds of y [M, N] itself, absolute, from those of mean and rstd. Infinite where nothing is known of y.
Array norm_bounds(const reference::NormQuantForward& forward, const reference::NormQuantForwardResult& truth,
                  const ForwardBounds& statistics, Algorithm algorithm);

/// Bounds of the recomputed output: mean and rstd are given. `saved_scale`: [M] the given quant_scale, or empty.
QuantBounds recompute_bounds(const reference::NormQuantForward& forward, const reference::NormQuantForwardResult& truth,
                             const Vector& saved_scale, Algorithm algorithm = Algorithm::two_pass);

/// Bounds of the codes of y [M, N], each element of which may be off by `y_error`.
QuantBounds quantised_bounds(const Array& y, const Array& y_error, const Vector& absmax, const Vector& quant_scale,
                             const reference::Quantisation& quantisation = {});

QuantBounds activation_bounds(const Array& x, const reference::ActivationQuantResult& truth,
                              const reference::Quantisation& quantisation = {});

/// Bounds of norm_quant_backward before rounding to the storage types.
struct BackwardBounds {
  Array dx;        ///< [M, N] absolute
  Vector dweight;  ///< [N] absolute
  Vector dbias;    ///< [N] absolute
};
/// `multiplicity`: [M] how often each row counts; `total_rows`: their sum. `mean`: [M], or empty where there is none; only
/// algorithms that start from h instead of h - mean err by it.
BackwardBounds backward_bounds(const Array& dy, const Vector& rstd, const Array* dresidual,
                               const reference::NormQuantBackwardResult& truth, const Vector& multiplicity,
                               std::int64_t total_rows, Algorithm algorithm = Algorithm::two_pass,
                               const Vector& mean = {});

/// weight_quant: t = w * weight_scale, one scale.
struct WeightBounds {
  Array t, t_error;
  double scale_error = 0;  ///< relative error of weight_scale and its inverse
};
/// `elements`: of the whole matrix, of which w may be some rows.
WeightBounds weight_bounds(const Array& w, const reference::WeightQuantResult& truth, std::int64_t elements);

}  // namespace normquant::validate
