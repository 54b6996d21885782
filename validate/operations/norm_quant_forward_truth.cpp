#include "validate/operations/norm_quant_forward_truth.hpp"

#include "validate/inputs.hpp"
#include "validate/operations/prepared_tensors.hpp"

namespace normquant::validate {

NormQuantForwardTruth norm_quant_forward_truth(const Problem& p, std::int64_t distinct) {
  NormQuantForwardTruth truth;
  const auto tensor = [&](Tensor which, DType type, std::int64_t rows) {
    return std::make_shared<const HostTensor>(input_tensor(p, which, type, rows, p.columns));
  };
  truth.x = tensor(Tensor::x, p.x, distinct);
  if (p.residual) truth.residual = tensor(Tensor::residual, *p.residual, distinct);
  if (p.weight) truth.weight = tensor(Tensor::weight, *p.weight, 1);
  if (p.bias) truth.bias = tensor(Tensor::bias, *p.bias, 1);

  const Array x = truth.x->values();
  const Array residual = truth.residual ? truth.residual->values() : Array{};
  truth.h = reference::residual_add(x, truth.residual ? &residual : nullptr);
  if (p.residual_out) truth.stored = reference::round_to_storage(truth.h, reference_storage(*p.residual_out));

  reference::NormQuantForward forward{
      reference_norm(p.norm), reference_rounding(p.rounding), p.eps, {}, {}, reference_quantisation(p.quantisation)};
  if (truth.weight) forward.weight = vector_values(*truth.weight);
  if (truth.bias) forward.bias = vector_values(*truth.bias);
  const Array& source = p.h_source == HSource::stored && truth.stored ? *truth.stored : truth.h;
  truth.result = reference::norm_quant_forward(source, forward);
  truth.bounds = forward_bounds(source, forward, truth.result);
  return truth;
}

}  // namespace normquant::validate
