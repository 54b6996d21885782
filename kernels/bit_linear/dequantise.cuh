// From the exact product of codes to out: the one place that says in which order float32 rounds.
#pragma once

#include "bit_linear/layer_kernels.hpp"
#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The scale of row `row`: dequant_scale * dequant_factor, rounded once.
__device__ __forceinline__ float scale_of_row(const CodeScales& scales, std::int64_t row) {
  return scales.dequant_scale[row] * *scales.dequant_factor;
}

/// One output, without and with a bias.
__device__ __forceinline__ float dequantised(std::int32_t sum, float row_scale) {
  return static_cast<float>(sum) * row_scale;
}
__device__ __forceinline__ float dequantised(std::int32_t sum, float row_scale, float bias) {
  return fmaf(static_cast<float>(sum), row_scale, bias);
}

/// V neighbouring outputs of a row, from column `column` on.
template <int V>
__device__ __forceinline__ void dequantise(const CodeScales& scales, float row_scale, std::int64_t column,
                                           const std::int32_t (&sums)[V], float (&out)[V]) {
  float bias[V];
  if (scales.bias.given()) load_typed(scales.bias.data, scales.bias.type, column, bias);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    out[v] = scales.bias.given() ? dequantised(sums[v], row_scale, bias[v]) : dequantised(sums[v], row_scale);
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
