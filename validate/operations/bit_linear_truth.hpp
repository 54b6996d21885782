// What the layer's forward must give: the reference with bounds, and the exact products of the codes that it wrote itself.
#pragma once

#include <memory>

#include <normquant/bit_linear.hpp>
#include <normquant/device.hpp>

#include "validate/host_tensor.hpp"
#include "validate/linear_weights.hpp"
#include "validate/operations/norm_quant_forward_truth.hpp"
#include "validate/problem.hpp"
#include "validate/product_bounds.hpp"

namespace normquant::validate {

/// Everything that does not depend on the device: shared by copies of a problem.
struct BitLinearForwardTruth : NormQuantForwardTruth {
  std::shared_ptr<const HostTensor> linear_bias;
  LinearWeights weights;
  // [distinct, distinct features]
  ProductBounds out;             ///< of fake-quantised operands
  ProductBounds out_from_codes;  ///< of codes
};

/// Of the first `distinct` rows.
std::shared_ptr<const BitLinearForwardTruth> bit_linear_forward_truth(const Problem& p, std::int64_t distinct);

/// The exact products of codes, as the kernel itself quantised them, scaled as layer_kernels.hpp says.
class ExactOut {
 public:
  /// Reads `rows` rows of y_q and `features` rows of the weights' codes from the device; bias: one a feature, or none.
  ExactOut(const BitLinearForward& a, Device& device, std::int64_t rows, std::int64_t features, const Vector& bias);
  const Status& status() const { return status_; }
  double operator()(Eigen::Index i, Eigen::Index j) const { return value_(i, j); }

 private:
  void read(Device& device, void* to, const void* from, std::size_t bytes);
  Status status_;
  Array value_;
};

}  // namespace normquant::validate
