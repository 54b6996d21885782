// Launch arithmetic of norm_quant_backward with a block for every row (single.cu). Pure host code.
#pragma once

#include <string>

#include "norm_quant_backward/backward_launch.hpp"

namespace normquant::backward_single_launch {

/// Threads of the largest block: 8 elements a thread keep their registers below 64, 16 below 128.
constexpr int most_threads(int elements) { return elements <= 8 ? 1024 : 512; }

inline bool is_striped(const Tuning& t) { return t.access_bytes < 16; }

/// As many as cover the row, and its sums' row.
inline std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  return divide_up(partial_row_length(a), static_cast<std::int64_t>(warp_threads) * t.elements) * warp_threads;
}

/// More rows would write more partial sums than they read inputs to any purpose.
constexpr std::int64_t most_rows = 256;

inline std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo&) {
  if (form_of(a) == Form::any) {
    return "serves the forms that are known when it is compiled: all tensors in h's type, with weight and out, or RMS "
           "norm without out";
  }
  if (a.rows > most_rows) return "is for " + std::to_string(most_rows) + " rows at most";
  if (row_threads(variant.tuning, a) > most_threads(variant.tuning.elements)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  return is_striped(variant.tuning) ? "" : why_not_packets(elements_per_packet(a), a);
}

inline std::size_t workspace_bytes(const Variant<NormQuantBackward>&, const NormQuantBackward& a, const DeviceInfo&) {
  return column_partials_bytes(a, a.rows);
}

}  // namespace normquant::backward_single_launch
