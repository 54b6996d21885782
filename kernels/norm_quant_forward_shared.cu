// norm_quant_forward, one pass: the row stays in shared memory as float32, every input is read once. For rows that are
// too long for registers (up to 57920 columns in the 227 KB of a Hopper block).
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element of global memory as in the one-pass kernel; 4 bytes of shared memory an element, written twice and
// read four times. Every thread reads back only what it wrote, so the row itself needs no barrier.
#include "algorithms.hpp"
#include "device/forward_steps.cuh"
#include "device/row_threads.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// The row as float32 behind the reductions' scratch, in packets: thread t owns packets t, t + threads, ...
template <int V>
struct SharedRow {
  float* values;

  __device__ __forceinline__ void load(std::int64_t column, float (&to)[V]) const {
    load_elements<float>(values, column, to);
  }
  __device__ __forceinline__ void store(std::int64_t column, const float (&from)[V]) const {
    store_elements<float>(values, column, from);
  }
};

template <class X, int V>
__global__ void __launch_bounds__(1024) forward_shared(const __grid_constant__ NormQuantForward a) {
  RowThreads threads = row_threads();
  const std::int64_t row = blockIdx.x;
  const SharedRow<V> kept{shared_memory<float>() + row_scratch_bytes(threads.count, 1) / sizeof(float)};
  const std::int64_t first = static_cast<std::int64_t>(threads.lane) * V;
  const std::int64_t step = static_cast<std::int64_t>(threads.count) * V;

  float sum = 0.0F;
  for (std::int64_t column = first; column < a.columns; column += step) {
    float h[V];
    load_h<X>(a, row, column, h);
    if (a.residual_out.given()) {
      store_typed(a.residual_out.data, a.residual_out.type, row * a.residual_out.ld + column, h);
    }
    kept.store(column, h);
    sum += packet_sum(h);
  }
  const float columns = static_cast<float>(a.columns);
  const float mean = a.norm == NormKind::layer ? threads.sum(sum) / columns : 0.0F;

  float squares = 0.0F;
  for (std::int64_t column = first; column < a.columns; column += step) {
    float h[V];
    kept.load(column, h);
    squares += packet_squares(h, mean);
  }
  const float rstd = reciprocal_root(threads.sum(squares) / columns, a.eps);

  std::uint32_t absmax = 0;
  for (std::int64_t column = first; column < a.columns; column += step) {
    float y[V];
    kept.load(column, y);
    absmax = max(absmax, normalise_packet(a.weight, a.bias, column, mean, rstd, y));
    kept.store(column, y);
  }
  const RowScale scale = row_scale(threads.largest(absmax));

  for (std::int64_t column = first; column < a.columns; column += step) {
    float y[V];
    kept.load(column, y);
    store_quantised(a.output, row, column, y, scale, a.rounding);
  }
  if (threads.lane == 0) store_row_results(a, row, mean, rstd, scale);
}

std::size_t shared_bytes(const Variant<NormQuantForward>& variant, const NormQuantForward& a) {
  return row_scratch_bytes(variant.tuning.threads_per_row, 1) + sizeof(float) * static_cast<std::size_t>(a.columns);
}

int elements(const Variant<NormQuantForward>& variant, const NormQuantForward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.x.type);
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device) {
  if (shared_bytes(variant, a) > device.shared_memory_per_block) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit the device's " +
           std::to_string(device.shared_memory_per_block) + " bytes of shared memory a block";
  }
  if (a.rows > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a);
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo&, void*,
              Stream stream) {
  const dim3 grid{static_cast<unsigned>(a.rows), 1, 1};
  const dim3 block{static_cast<unsigned>(variant.tuning.threads_per_row), 1, 1};
  return with_packet_type(a.x.type, elements(variant, a), [&](auto packet) {
    return launch_kernel(forward_shared<typename decltype(packet)::element, decltype(packet)::count>, grid, block,
                         shared_bytes(variant, a), stream, a);
  });
}

constexpr Variant<NormQuantForward> row(std::string_view name, std::string_view summary, Tuning tuning) {
  return {name, summary, tuning, true, why_not, no_workspace, requests_algorithmic_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_shared() {
  static const std::vector<Variant<NormQuantForward>> table = {
      row("shared_t1024_v16", "row in shared memory, 32 warps a row", {1024, 1, 16}),
      row("shared_t1024_v1", "row in shared memory, element accesses: any alignment, any N", {1024, 1, 1}),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
