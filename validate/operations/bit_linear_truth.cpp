#include "validate/operations/bit_linear_truth.hpp"

#include <cmath>

#include "validate/inputs.hpp"
#include "validate/operations/prepared_tensors.hpp"

namespace normquant::validate {

std::shared_ptr<const BitLinearForwardTruth> bit_linear_forward_truth(const Problem& p, std::int64_t distinct) {
  auto truth = std::make_shared<BitLinearForwardTruth>();
  static_cast<NormQuantForwardTruth&>(*truth) = norm_quant_forward_truth(p, distinct);
  truth->weights = linear_weights_of(p);
  truth->out = product_bounds(
      activation_operand(truth->bounds.quant, reference_rounding(p.rounding), reference_storage(p.operand_type())),
      truth->weights.operand);
  truth->out_from_codes = code_product_bounds(
      activation_operand(truth->bounds.quant, reference_rounding(p.rounding), reference::Storage::float64),
      truth->weights.from_codes);
  if (p.linear_bias) {
    // As many distinct values as the weights have distinct rows, so that columns of out repeat.
    truth->linear_bias = std::make_shared<const HostTensor>(
        input_tensor(p, Tensor::linear_bias, *p.linear_bias, distinct_features(p), 1));
    if (p.dropped_bias) return truth;
    add_bias(truth->out, truth->linear_bias->values().col(0));
    add_bias(truth->out_from_codes, truth->linear_bias->values().col(0));
  }
  return truth;
}

ExactOut::ExactOut(const BitLinearForward& a, Device& device, std::int64_t rows, std::int64_t features,
                   const Vector& bias)
    : value_(rows, features) {
  using Codes = Eigen::Array<std::int8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Codes y(rows, a.layer.k_in), w(features, a.layer.k_in);
  Eigen::ArrayXf dequant_scale(rows);
  float factor = 0;
  const auto read_rows = [&](Codes& codes, const std::int8_t* from, std::int64_t ld) {
    for (Eigen::Index i = 0; i < codes.rows(); ++i) {
      read(device, codes.row(i).data(), from + i * ld, static_cast<std::size_t>(codes.cols()));
    }
  };
  read_rows(y, a.y_q.codes, a.y_q.ld_codes);
  read_rows(w, a.layer.weights.codes, a.layer.weights.ld_codes);
  read(device, dequant_scale.data(), a.y_q.dequant_scale, sizeof(float) * static_cast<std::size_t>(rows));
  read(device, &factor, a.layer.weights.dequant_factor, sizeof factor);
  if (!status_.ok()) return;
  const Array sums = (y.cast<double>().matrix() * w.cast<double>().matrix().transpose()).array();  // exact: below 2^53
  for (Eigen::Index i = 0; i < rows; ++i) {
    const float scale = dequant_scale(i) * factor;
    for (Eigen::Index j = 0; j < features; ++j) {
      const auto sum = static_cast<float>(sums(i, j) + 0.0);  // an integer's zero has no sign
      value_(i, j) =
          static_cast<double>(bias.size() > 0 ? std::fma(sum, scale, static_cast<float>(bias(j))) : sum * scale);
    }
  }
}

void ExactOut::read(Device& device, void* to, const void* from, std::size_t bytes) {
  if (status_.ok()) status_ = device.copy_to_host(to, from, bytes);
}

}  // namespace normquant::validate
