// What the forward must give: its inputs, the reference and the bounds. The layer's forward begins with it.
#pragma once

#include <memory>
#include <optional>

#include "reference/norm_quant_forward.hpp"
#include "validate/bounds.hpp"
#include "validate/host_tensor.hpp"
#include "validate/problem.hpp"

namespace normquant::validate {

/// Everything that does not depend on the device: shared by copies of a problem.
struct NormQuantForwardTruth {
  std::shared_ptr<const HostTensor> x, residual, weight, bias;
  Array h;                      ///< x + residual in float32
  std::optional<Array> stored;  ///< h as residual_out stores it
  reference::NormQuantForwardResult result;
  ForwardBounds bounds;
};

/// Of the first `distinct` rows.
NormQuantForwardTruth norm_quant_forward_truth(const Problem& p, std::int64_t distinct);

}  // namespace normquant::validate
