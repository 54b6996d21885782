// A BitLinear layer as a training loop sees it: forward, backward, parameters. One is the library on a device, the other
// the float64 reference.
#pragma once

#include <memory>

#include <normquant/bit_linear.hpp>
#include <normquant/device.hpp>

#include "reference/bit_linear.hpp"

namespace normquant::example {

using reference::Array;

/// bit_linear in float32 (RMS norm with weight, linear weight, linear bias).
class Layer {
 public:
  virtual ~Layer() = default;
  /// out [M, K_out] from x [M, K_in]. Throws std::runtime_error with the library's sentence.
  virtual Array forward(const Array& x) = 0;
  /// dx from dout; then the gradients are those of the last forward.
  virtual Array backward(const Array& dout) = 0;

  reference::BitLinearParameters parameters;
  reference::BitLinearGradients gradients;
};

std::unique_ptr<Layer> reference_layer(const reference::BitLinearParameters& parameters);

/// On the device, through `products`; both outlive the layer. Up to `most_rows` rows.
std::unique_ptr<Layer> device_layer(const reference::BitLinearParameters& parameters, Device& device,
                                    MatrixProducts& products, std::int64_t most_rows);

}  // namespace normquant::example
