// bit_linear_forward: what its arguments must be, and the bytes that it has to move.
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_forward.hpp>

#include <algorithm>

#include "bit_linear/forward_steps.hpp"
#include "bit_linear/layer_arguments.hpp"

namespace normquant {

template <>
Status check_arguments(const BitLinearForward& a) {
  ArgumentCheck check("bit_linear_forward");
  check.require(a.rows >= 0, "rows is " + std::to_string(a.rows) + "; it must be 0 or more");
  check_layer(check, a.layer);
  check.require(a.x.given(), "x is null");
  check.require(a.out.given(), "out is null");
  check.check_matrix("linear_weight", a.linear_weight, a.layer.k_in);
  check.check_matrix("out", a.out, a.layer.k_out);
  const BitLinearWeights& weights = a.layer.weights;
  check.require(weights.operand.given() || weights.codes != nullptr || weights.packed != nullptr,
                "weights.operand, weights.codes and weights.packed are all null; the product reads one of them");
  check.check_output("y_q", a.y_q, a.layer.k_in);
  check.require(!a.y_q.out.given() || a.y_q.out.type == a.layer.operand, "y_q.out's type is not that of the operands");
  if (!check.status().ok()) return check.status();
  NormQuantForward norm = norm_arguments(a);  // says the rest; an output that is scratch is not its caller's mistake
  if (!norm.output.given()) norm.output.out = {a.out.data, a.layer.operand, a.layer.k_in};
  return check_arguments(norm);
}

template <>
std::int64_t algorithmic_bytes(const BitLinearForward& a) {
  const BitLinearLayer& layer = a.layer;
  const std::int64_t in = element_bytes(a.x) + element_bytes(a.residual) + element_bytes(a.residual_out);
  const std::int64_t row_values = (a.mean != nullptr ? 4 : 0) + (a.rstd != nullptr ? 4 : 0);
  // The weight counts as it is given: the matrix, or the smallest of its cached forms.
  std::int64_t weight = element_bytes(a.linear_weight) * layer.k_in;
  if (!a.linear_weight.given()) {
    weight = layer.weights.packed != nullptr  ? packed_row_bytes(layer.k_in)
             : layer.weights.codes != nullptr ? layer.k_in
                                              : element_bytes(layer.weights.operand) * layer.k_in;
  }
  const std::int64_t vectors = (element_bytes(layer.norm_weight) + element_bytes(layer.norm_bias)) * layer.k_in +
                               element_bytes(layer.linear_bias) * layer.k_out;
  return a.rows * (in * layer.k_in + element_bytes(a.out) * layer.k_out + row_values) + weight * layer.k_out + vectors;
}

}  // namespace normquant
