// Bounds of the layer's matrix products. Derived in docs/numerics.md, "The layer".
#pragma once

#include "reference/types.hpp"
#include "validate/bounds.hpp"

namespace normquant::validate {

/// An operand of a product: the values that the reference stores, and how far those of a right kernel may be from them,
/// because another code was admissible or the scale's error reaches another number of the operand's type.
struct Operand {
  Array value;  ///< code * dequant_scale, rounded to the type
  Array slack;  ///< 0 for nearly every element
};

/// The activations y_q [M, K_in], one scale a row.
Operand activation_operand(const QuantBounds& bounds, reference::Rounding rounding, reference::Storage type);
/// The weights w_q, one scale; rounded half to even.
Operand weight_operand(const WeightBounds& bounds, double dequant_factor, reference::Storage type);
/// Values that are given, and so exact.
Operand exact_operand(const Array& values);

/// A product and the bound on its float32 evaluation in any order, before rounding to the storage type.
struct ProductBounds {
  Array value, bound;
};
/// a [M, depth] * b^T, b [K, depth].
ProductBounds product_bounds(const Operand& a, const Operand& b);
/// The same when codes are multiplied, exactly, and the sum is scaled afterwards: only the scales are off, and the last steps
/// round. The operands are not rounded to any type (Storage::float64).
ProductBounds code_product_bounds(const Operand& a, const Operand& b);

/// bounds of one more float32 addition to a product: linear_bias [K] to each row.
void add_bias(ProductBounds& product, const Vector& bias);

/// What errors of dy do to the gradients of norm_quant_backward, which are linear in dy: dx, dweight and dbias grow by it.
/// `error` [M, N] is absolute; `weight` as in the backward; `xhat` [M, N]; `multiplicity` [M] how often each row counts.
void add_error_of_dy(BackwardBounds& bounds, const Array& error, const Array& xhat, const Vector& rstd,
                     const reference::NormQuantBackward& backward, const Vector& multiplicity);

/// Half a unit in the last place of the type, of values off by `bound` at most: what rounding dy to the operands' type adds.
Array rounding_error(const Array& values, const Array& bound, DType type);

/// The columns j of `values` [M, columns] with equal j % period, added: [M, period]. A matrix whose rows repeat with that
/// period is then multiplied by its distinct rows alone.
Array folded_columns(const Array& values, Eigen::Index period);

}  // namespace normquant::validate
