#include "validate/check/check.hpp"

#include "validate/check/blocks.hpp"

namespace normquant::check {

using validate::Operation;

validate::Verdict check(const Given& given) {
  Comparison comparison;
  switch (given.problem.op) {
    case Operation::norm_quant_forward: check_forward(given, comparison); break;
    case Operation::norm_quant_backward: check_backward(given, comparison); break;
    case Operation::activation_quant: check_activation(given, comparison); break;
    case Operation::weight_quant: check_weight(given, comparison); break;
    case Operation::bit_linear_forward:
    case Operation::bit_linear_backward:
      comparison.failed(Status::unsupported("the layer is checked by its parts"));
      break;
  }
  return comparison.verdict();
}

}  // namespace normquant::check
