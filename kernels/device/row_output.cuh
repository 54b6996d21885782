// Where the codes of a row in registers go.
#pragma once

#include "device/quantise.cuh"
#include "device/row_tile.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Writes the row's codes in the forms that `output` asks for.
template <int V, int K, class Columns>
__device__ __forceinline__ void store_row(const QuantOutput& output, std::int64_t row, const Columns& columns,
                                          const float (&code)[K][V], RowScale scale) {
  if (output.out.given()) {
    with_element_type(output.out.type, [&](auto type) {
      using T = typename decltype(type)::type;
      T* out = static_cast<T*>(output.out.data) + row * output.out.ld;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        float value[V];
#pragma unroll
        for (int i = 0; i < V; ++i) value[i] = code[k][i] * scale.dequant;
        Packet<T, V> packet;
        packet.pack(value);
        columns.store(out, k, packet);
      }
    });
  }
  if (output.codes == nullptr) return;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    columns.store(output.codes + row * output.ld_codes, k, packed_codes(code[k], scale));
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
