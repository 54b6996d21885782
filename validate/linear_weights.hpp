// The layer's ternary weights in a prepared problem: their reference, and their forms in host memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <normquant/device.hpp>

#include "reference/weight_quant.hpp"
#include "validate/bounds.hpp"
#include "validate/host_tensor.hpp"
#include "validate/problem.hpp"
#include "validate/product_bounds.hpp"

namespace normquant::validate {

/// linear_weight has `distinct` rows, which repeat: feature o is row o % distinct.
struct LinearWeights {
  std::shared_ptr<const HostTensor> linear_weight;  ///< [distinct, K_in]
  reference::WeightQuantResult result;
  WeightBounds bounds;
  // Exact when the problem's weights are cached.
  Operand operand;     ///< w_q as a product of operands reads it, rounded to their type
  Operand from_codes;  ///< code * dequant_factor, not rounded

  // What a cached problem hands in: right to the bit, so that only the layer is judged.
  std::shared_ptr<const HostTensor> w_q;             ///< [distinct, K_in] in the operand's type
  std::vector<unsigned char> codes, packed;          ///< [distinct, K_in] and [distinct, ceil(K_in / 4)]
  std::shared_ptr<const HostTensor> dequant_factor;  ///< [1]
};

/// All of K_out where the matrix is small; else the largest divisor of K_out up to 1024, so that every row occurs equally
/// often (the scale is a mean over all) and the reference stays small.
std::int64_t distinct_features(const Problem& problem);

/// Whether the problem's products on this device take so long that their algorithms are chosen by time.
bool worth_tuning(const Problem& problem, const Device& device);

LinearWeights linear_weights_of(const Problem& problem);

}  // namespace normquant::validate
