// weight_quant, w read twice: once for the sum of magnitudes, once to quantise.
//
//   absmean = sum|w| / count;  weight_scale = 1 / max(absmean, 1e-5)
//   code = clamp(round_half_even(w * weight_scale), -1, 1);  out = code / weight_scale
//
// Bytes an element (bfloat16): 4 read (the second 2 from the L2 when w fits there) + 2 (out), 1 (codes) or 1/4 (packed).
// The sum is deterministic: every thread adds its packets in order, in float64 from the packet on (one float64 addition
// for each 16 bytes, also cheap where float64 is slow), blocks write partial sums, and every block of the second kernel
// adds those in the same order. Right for any count: no float32 sum is longer than a packet.
#include "algorithms.hpp"
#include "device/quantise.cuh"
#include "device/row_threads.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Sum over the block in a fixed order; every thread gets it. `slots`: one double a thread.
__device__ __forceinline__ double block_sum(double value, double* slots) {
  const unsigned thread = threadIdx.x;
  slots[thread] = value;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (thread < half) slots[thread] += slots[thread + half];
    __syncthreads();
  }
  const double sum = slots[0];
  __syncthreads();
  return sum;
}

/// Packets of the matrix, row after row; blocks and threads take them in turn.
struct PacketWalk {
  std::int64_t packets_per_row, packet, step, end;

  __device__ __forceinline__ std::int64_t row() const { return packet / packets_per_row; }
  __device__ __forceinline__ std::int64_t column(int packet_columns) const {
    return packet % packets_per_row * packet_columns;
  }
};
__device__ __forceinline__ PacketWalk packet_walk(const WeightQuant& a, int packet_columns) {
  const std::int64_t packets_per_row = (a.columns + packet_columns - 1) / packet_columns;
  return {packets_per_row, static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x,
          static_cast<std::int64_t>(gridDim.x) * blockDim.x, a.rows * packets_per_row};
}

template <class W, int V>
__global__ void __launch_bounds__(1024) sum_magnitudes(const __grid_constant__ WeightQuant a, double* partial) {
  double sum = 0.0;
  for (PacketWalk walk = packet_walk(a, V); walk.packet < walk.end; walk.packet += walk.step) {
    float w[V];
    load_elements<W>(a.w.data, walk.row() * a.w.ld + walk.column(V), w);
    float packet = 0.0F;
#pragma unroll
    for (int v = 0; v < V; ++v) packet += fabsf(w[v]);
    sum += static_cast<double>(packet);
  }
  sum = block_sum(sum, shared_memory<double>());
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// max(absmean, 1e-5); NaN when w is not finite.
__device__ __forceinline__ float dequant_factor(const WeightQuant& a, const double* partial, int partials) {
  double sum = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < partials; i += static_cast<int>(blockDim.x)) sum += partial[i];
  sum = block_sum(sum, shared_memory<double>());
  const float absmean = static_cast<float>(sum / (static_cast<double>(a.rows) * static_cast<double>(a.columns)));
  return is_finite_magnitude(magnitude_bits(absmean)) ? fmaxf(absmean, scale_floor) : nan_value();
}

/// Codes of V columns, V a multiple of 4 or 1; columns past the row's end count as code 0.
template <int V>
__device__ __forceinline__ void store_ternary(const WeightQuant& a, std::int64_t row, std::int64_t column,
                                              const float (&code)[V], float factor) {
  const bool finite = is_finite_magnitude(magnitude_bits(factor));
  if (a.out.given()) {
    float out[V];
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = code[v] * factor;
    store_typed(a.out.data, a.out.type, row * a.out.ld + column, out);
  }
  if (a.codes != nullptr) {
    std::int8_t bytes[V];
#pragma unroll
    for (int v = 0; v < V; ++v) bytes[v] = finite ? static_cast<std::int8_t>(code[v]) : std::int8_t{0};
    Packet<std::int8_t, V> packet;
    memcpy(packet.data, bytes, sizeof(bytes));
    packet.store(a.codes + row * a.ld_codes + column);
  }
}

/// Four codes a byte: bits 2i and 2i + 1 hold code + 1 of column 4b + i.
template <int C>
__device__ __forceinline__ void store_packed(const WeightQuant& a, std::int64_t row, std::int64_t column,
                                             const float (&code)[C], float factor) {
  static_assert(C % 4 == 0);
  const bool finite = is_finite_magnitude(magnitude_bits(factor));
  // Shifts written out: as an inner loop, a build by GCC 12 with sanitizers packed the first code four times. The cause
  // was not isolated (a small copy of the loop was right), so a miscompilation is likely, not shown.
  const auto bits = [&](int c) { return static_cast<unsigned>((finite ? static_cast<int>(code[c]) : 0) + 1); };
#pragma unroll
  for (int b = 0; b < C / 4; ++b) {
    const unsigned byte = bits(4 * b) | bits(4 * b + 1) << 2 | bits(4 * b + 2) << 4 | bits(4 * b + 3) << 6;
    a.packed[row * a.ld_packed + column / 4 + b] = static_cast<std::uint8_t>(byte);
  }
}

/// V > 1: aligned packets of V columns. V == 1: a thread takes 4 neighbouring columns, element by element, so that it
/// owns the byte they are packed into.
template <class W, int V>
__global__ void __launch_bounds__(1024)
    quantise_weights(const __grid_constant__ WeightQuant a, const double* partial, int partials) {
  constexpr int packet_columns = V + (V == 1 ? 3 : 0);
  const float factor = dequant_factor(a, partial, partials);
  const float scale = 1.0F / factor;
  if (blockIdx.x == 0 && threadIdx.x == 0 && a.dequant_factor != nullptr) *a.dequant_factor = factor;
  for (PacketWalk walk = packet_walk(a, packet_columns); walk.packet < walk.end; walk.packet += walk.step) {
    const std::int64_t row = walk.row(), column = walk.column(packet_columns);
    float code[packet_columns] = {};
#pragma unroll
    for (int first = 0; first < packet_columns; first += V) {
      if (column + first >= a.columns) continue;  // only where V == 1
      float w[V];
      load_elements<W>(a.w.data, row * a.w.ld + column + first, w);
#pragma unroll
      for (int v = 0; v < V; ++v) w[v] = fminf(fmaxf(rounded_half_even(w[v] * scale), -1.0F), 1.0F);
      store_ternary(a, row, column + first, w, factor);
#pragma unroll
      for (int v = 0; v < V; ++v) code[first + v] = w[v];
    }
    if (a.packed != nullptr) store_packed(a, row, column, code, factor);
  }
}

int elements(const Variant<WeightQuant>& variant, const WeightQuant& a) {
  return elements_per_access(variant.tuning.access_bytes, a.w.type);
}

/// Blocks of both kernels: two waves of full multiprocessors, no more than there are packets for.
int blocks(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device) {
  const std::int64_t threads = variant.tuning.threads_per_row;
  const std::int64_t most = 2LL * device.sm_count * (2048 / threads);
  const std::int64_t useful = divide_up(a.rows * divide_up(a.columns, elements(variant, a)), threads);
  const std::int64_t count = useful < most ? useful : most;
  return static_cast<int>(count < 1 ? 1 : count);
}

std::string why_not(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo&) {
  const int v = elements(variant, a);
  const bool codes_aligned = a.codes == nullptr || packets_aligned(a.codes, a.ld_codes, 1, v);
  if (v > 1 && !codes_aligned) return "needs every row of codes to start at a multiple of " + std::to_string(v);
  return why_not_packets(v, a.columns, a.w, a.out);
}

std::size_t workspace_bytes(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device) {
  return sizeof(double) * static_cast<std::size_t>(blocks(variant, a, device));
}

std::int64_t requested_bytes(const Variant<WeightQuant>&, const WeightQuant& a, const DeviceInfo&) {
  return algorithmic_bytes(a) + static_cast<std::int64_t>(size_of(a.w.type)) * a.rows * a.columns;
}

Status launch(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device, void* workspace,
              Stream stream) {
  const int count = blocks(variant, a, device);
  const dim3 grid{static_cast<unsigned>(count), 1, 1};
  const dim3 block{static_cast<unsigned>(variant.tuning.threads_per_row), 1, 1};
  const std::size_t shared = sizeof(double) * static_cast<std::size_t>(variant.tuning.threads_per_row);
  double* partial = static_cast<double*>(workspace);
  return with_packet_type(a.w.type, elements(variant, a), [&](auto packet) {
    using W = typename decltype(packet)::element;
    constexpr int V = decltype(packet)::count;
    Status status = launch_kernel(sum_magnitudes<W, V>, grid, block, shared, stream, a, partial);
    if (!status.ok()) return status;
    return launch_kernel(quantise_weights<W, V>, grid, block, shared, stream, a, static_cast<const double*>(partial),
                         count);
  });
}

constexpr Variant<WeightQuant> row(std::string_view name, std::string_view summary, Tuning tuning) {
  return {name, summary, tuning, true, why_not, workspace_bytes, requested_bytes, launch};
}

}  // namespace

const std::vector<Variant<WeightQuant>>& weight_quant_two_pass() {
  // Names: t = threads a block, v = bytes an access (v1: one element).
  static const std::vector<Variant<WeightQuant>> table = {
      row("two_pass_t256_v16", "w read twice, blocks of 256 threads", {256, 1, 16}),
      row("two_pass_t512_v16", "w read twice, blocks of 512 threads", {512, 1, 16}),
      row("two_pass_t1024_v16", "w read twice, blocks of 1024 threads", {1024, 1, 16}),
      row("two_pass_t256_v1", "w read twice, element accesses: any alignment, any K_in", {256, 1, 1}),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
