#include "validate/linear_weights.hpp"

#include "validate/inputs.hpp"
#include "validate/operations/prepared_tensors.hpp"

namespace normquant::validate {
namespace {

constexpr std::int64_t small_matrix = std::int64_t{1} << 18;

}  // namespace

std::int64_t distinct_features(const Problem& problem) {
  const std::int64_t k_out = problem.outputs();
  if (k_out * problem.columns <= small_matrix) return k_out;
  std::int64_t divisor = std::min<std::int64_t>(k_out, 1024);
  while (k_out % divisor != 0) --divisor;
  return divisor;
}

bool worth_tuning(const Problem& p, const Device& device) {
  constexpr std::int64_t many = std::int64_t{1} << 30;
  return device.info().kind == DeviceKind::cuda && p.rows * p.columns >= many / p.outputs();
}

LinearWeights linear_weights_of(const Problem& p) {
  LinearWeights weights;
  weights.linear_weight = std::make_shared<const HostTensor>(
      input_tensor(p, Tensor::linear_weight, p.linear_weight.value_or(p.x), distinct_features(p), p.columns));
  const Array w = weights.linear_weight->values();
  weights.result = reference::weight_quant(w);
  weights.bounds = weight_bounds(w, weights.result, p.outputs() * p.columns);
  const reference::Storage type = reference_storage(p.operand_type());
  weights.operand = weight_operand(weights.bounds, weights.result.dequant_factor, type);
  weights.from_codes = weight_operand(weights.bounds, weights.result.dequant_factor, reference::Storage::float64);

  const Array& code = weights.result.code;
  const auto factor = static_cast<double>(static_cast<float>(weights.result.dequant_factor));
  weights.dequant_factor =
      std::make_shared<const HostTensor>(HostTensor::of(DType::float32, Array::Constant(1, 1, factor)));
  const Array w_q = reference::round_to_storage(code * factor, type);
  weights.w_q = std::make_shared<const HostTensor>(HostTensor::of(p.operand_type(), w_q));
  for (Eigen::Index i = 0; i < code.size(); ++i) {
    weights.codes.push_back(static_cast<unsigned char>(static_cast<std::int8_t>(code.data()[i])));
  }
  const reference::PackedCodes packed = reference::pack_codes(code);
  weights.packed.assign(packed.data(), packed.data() + packed.size());
  if (p.cached || p.op == Operation::bit_linear_backward) {
    weights.operand = exact_operand(w_q);
    weights.from_codes = exact_operand(code * factor);
  }
  return weights;
}

}  // namespace normquant::validate
