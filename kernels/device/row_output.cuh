// Where the codes of a row in registers go.
#pragma once

#include "device/form.cuh"
#include "device/quantise.cuh"
#include "device/row_tile.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Writes packet k of the row's codes in the forms that the output has. What is written is not read again by this launch:
/// the L2 may drop it first.
template <class Known, int V, class Columns>
__device__ __forceinline__ void store_packet_of_codes(const NormQuantForward& a, std::int64_t row,
                                                      const Columns& columns, int k, const float (&code)[V],
                                                      RowScale scale) {
  if (Known::out(a)) {
    Known::with_type(a.output.out.type, [&](auto type) {
      using T = typename decltype(type)::type;
      float value[V];
#pragma unroll
      for (int i = 0; i < V; ++i) value[i] = code[i] * scale.dequant;
      Packet<T, V> packet;
      packet.pack(value);
      columns.template store<T, true>(static_cast<T*>(a.output.out.data) + row * a.output.out.ld, k, packet);
    });
  }
  if (!Known::codes(a)) return;
  columns.template store<std::int8_t, true>(a.output.codes + row * a.output.ld_codes, k, packed_codes(code, scale));
}

}  // namespace normquant::NORMQUANT_BACKEND
