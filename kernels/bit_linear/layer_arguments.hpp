// What forward and backward of the layer check alike.
#pragma once

#include <normquant/bit_linear.hpp>

#include "operation.hpp"

namespace normquant {

/// Sizes and parameters of the layer. eps and the switches are checked by the norm that they go to.
inline void check_layer(ArgumentCheck& check, const BitLinearLayer& layer) {
  check.require(layer.k_in >= 1, "k_in is " + std::to_string(layer.k_in) + "; it must be 1 or more");
  check.require(layer.k_out >= 1, "k_out is " + std::to_string(layer.k_out) + "; it must be 1 or more");
  check.require(layer.operand == DType::float32 || layer.operand == DType::float16 || layer.operand == DType::bfloat16,
                "operand is not a known value");
  check.check_vector("norm_weight", layer.norm_weight);
  check.check_vector("norm_bias", layer.norm_bias);
  check.check_vector("linear_bias", layer.linear_bias);
  const BitLinearWeights& weights = layer.weights;
  check.check_matrix("weights.operand", weights.operand, layer.k_in);
  check.require(!weights.operand.given() || weights.operand.type == layer.operand,
                "weights.operand's type is not that of the operands");
  if (weights.codes != nullptr) check.check_ld("weights.codes", weights.ld_codes, layer.k_in);
  if (weights.packed != nullptr) check.check_ld("weights.packed", weights.ld_packed, packed_row_bytes(layer.k_in));
  check.require(weights.dequant_factor != nullptr || (weights.codes == nullptr && weights.packed == nullptr),
                "weights.dequant_factor is null; codes and packed mean nothing without it");
}

/// What was written, to be read.
inline ConstMatrix constant(const Matrix& matrix) { return {matrix.data, matrix.type, matrix.ld}; }

template <class Tensor>
std::int64_t element_bytes(const Tensor& tensor) {
  return tensor.given() ? static_cast<std::int64_t>(size_of(tensor.type)) : 0;
}

}  // namespace normquant
