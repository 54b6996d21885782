// Input values of a problem: from its seed alone, the same on every machine, rounded once to their storage types.
#pragma once

#include <cstdint>
#include <string_view>

#include "validate/host_tensor.hpp"
#include "validate/problem.hpp"

namespace normquant::validate {

/// Tensors that a problem can have; each draws from a stream of its own. dy is also the layer's dout.
enum class Tensor : std::uint64_t { x = 1, residual, weight, bias, dy, dresidual, linear_weight, linear_bias };

/// Values of a tensor before rounding. `x` follows the problem's `values`; so do, for ties and at_floor, weight (zeros) and bias
/// (the values), and for huge_weight and nan_weight the weight. The others are standard normal, weight around 1.
Array input_values(const Problem& problem, Tensor tensor, std::int64_t rows, std::int64_t columns);

/// The same, rounded to the storage type.
HostTensor input_tensor(const Problem& problem, Tensor tensor, DType type, std::int64_t rows, std::int64_t columns);

}  // namespace normquant::validate
