#include "validate/problem_point.hpp"

#include "validate/lookalike.hpp"

namespace normquant::tune {

choice::Point point_of(const validate::Problem& problem) {
  using validate::lookalike;
  switch (problem.op) {
    case validate::Operation::norm_quant_forward: return choice::point_of(lookalike<NormQuantForward>(problem));
    case validate::Operation::norm_quant_backward: return choice::point_of(lookalike<NormQuantBackward>(problem));
    case validate::Operation::activation_quant: return choice::point_of(lookalike<ActivationQuant>(problem));
    case validate::Operation::weight_quant: return choice::point_of(lookalike<WeightQuant>(problem));
    case validate::Operation::bit_linear_forward:
    case validate::Operation::bit_linear_backward: break;
  }
  return {};  // the layer has no table of its own
}

}  // namespace normquant::tune
