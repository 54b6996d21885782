// Where the codes of a row in registers go.
#pragma once

#include "device/formats.cuh"
#include "device/known.cuh"
#include "device/quantise.cuh"
#include "device/tile_columns.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Writes packet k of the row's codes in the forms that the output has; packed() gives their bits. What is written is not read
/// again by this launch: the L2 may drop it first.
template <class Known, int V, class Columns, class Packed>
__device__ __forceinline__ void store_packet(const NormQuantForward& a, std::int64_t row, const Columns& columns, int k,
                                             const float (&code)[V], RowScale scale, Packed&& packed) {
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
  columns.template store<std::int8_t, true>(a.output.codes + row * a.output.ld_codes, k, packed());
}

template <class Known, int V, class Columns>
__device__ __forceinline__ void store_packet_of_codes(const NormQuantForward& a, std::int64_t row,
                                                      const Columns& columns, int k, const float (&code)[V],
                                                      RowScale scale) {
  store_packet<Known>(a, row, columns, k, code, scale, [&] { return packed_codes(code, scale); });
}

/// The same of values whose codes are in another format, or by a given scale: of the values times `factor`.
template <class Known, int V, class Columns>
__device__ __forceinline__ void store_packet_otherwise(const NormQuantForward& a, std::int64_t row,
                                                       const Columns& columns, int k, const float (&values)[V],
                                                       float factor, RowScale scale) {
  float code[V];
  const Packet<std::int8_t, V> codes = codes_in(a.quantisation, values, factor, a.rounding, code);
  store_packet<Known>(a, row, columns, k, code, scale, [&] { return codes; });
}

/// Codes by a scale that is known, of the columns that the calling thread has of a row.
template <class Args, class YOf>
__device__ __forceinline__ void store_by_column(const Args& a, const QuantOutput& output, std::int64_t row,
                                                unsigned place, unsigned threads, RowScale scale, ScaleOrigin origin,
                                                YOf&& y_of) {
#pragma unroll 1
  for (std::int64_t column = place; column < a.columns; column += threads) {
    const float y[1] = {y_of(column)};
    store_quantised(output, row, column, y, scale, a.rounding, origin);
  }
}

/// Codes of a row column by column, into `output` of the arguments `a`: y_of(column) gives y. Every thread looks at the whole
/// row for the absmax, so that no barrier is needed to which the block's other rows would not come, and writes its share.
template <class Args, class YOf>
__device__ __forceinline__ RowScale quantise_by_column(const Args& a, const QuantOutput& output, std::int64_t row,
                                                       unsigned place, unsigned threads, YOf&& y_of) {
  float absmax = 0.0F;
#pragma unroll 1
  for (std::int64_t column = 0; column < a.columns; ++column) absmax = larger_magnitude(absmax, y_of(column));
  const RowScale scale = row_scale(magnitude_bits(absmax));
  store_by_column(a, output, row, place, threads, scale, ScaleOrigin::own, y_of);
  return scale;
}

}  // namespace normquant::NORMQUANT_BACKEND
