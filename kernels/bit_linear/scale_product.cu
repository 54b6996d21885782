// scale_product: exact int32 products of codes, scaled by row and weight, plus bias.
//
//   out[i, j] = sum[i, j] * (dequant_scale[i] * dequant_factor) + bias[j]
//
// Bytes an element (bfloat16): 4 read, 2 written. A thread has 8 neighbouring columns of a row, or 1 where out's or the
// bias's rows do not start at 16 bytes.
#include "bit_linear/dequantise.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 256;

template <int V>
__global__ void __launch_bounds__(threads)
    scale_sums(const __grid_constant__ ScaleProduct p, std::int64_t blocks_per_row) {
  overlap_launches();
  const std::int64_t row = p.rows - 1 - blockIdx.x / blocks_per_row;  // what the product wrote last, the L2 still has
  const std::int64_t column = (blockIdx.x % blocks_per_row * threads + threadIdx.x) * V;
  if (column >= p.columns) return;
  std::int32_t sums[V];
  Packet<std::int32_t, V> packet;
  packet.load_once(p.sums + row * p.columns + column);
  memcpy(sums, packet.data, sizeof(sums));
  float out[V];
  dequantise(p.scales, scale_of_row(p.scales, row), column, sums, out);
  store_typed(p.out.data, p.out.type, row * p.out.ld + column, out);
}

template <int V>
Status launch_scale(const ScaleProduct& p, const DeviceInfo& device, Stream stream) {
  const std::int64_t blocks_per_row = divide_up(p.columns, std::int64_t{V} * threads);
  const std::int64_t most_rows = 0x7fffffff / blocks_per_row;
  for (std::int64_t first = 0; first < p.rows; first += most_rows) {
    ScaleProduct part = p;
    part.rows = p.rows - first < most_rows ? p.rows - first : most_rows;
    part.sums = p.sums + first * p.columns;
    part.scales.dequant_scale = p.scales.dequant_scale + first;
    part.out.data = static_cast<char*>(p.out.data) + first * p.out.ld * static_cast<std::int64_t>(size_of(p.out.type));
    LaunchShape shape{dim3{static_cast<unsigned>(part.rows * blocks_per_row), 1, 1}, dim3{threads, 1, 1}};
    shape.overlap = device.compute_capability >= 90;
    if (Status status = launch_kernel(scale_sums<V>, shape, stream, part, blocks_per_row); !status.ok()) return status;
  }
  return {};
}

}  // namespace

Status scale_product(const ScaleProduct& p, const DeviceInfo& device, Stream stream) {
  constexpr int wide = 8;
  const bool aligned = p.columns % wide == 0 && packets_aligned(p.out, wide) && packets_aligned(p.scales.bias, wide);
  return aligned ? launch_scale<wide>(p, device, stream) : launch_scale<1>(p, device, stream);
}

Status fill_zero(void* memory, std::size_t bytes, Stream stream) { return zero_fill(memory, bytes, stream); }

}  // namespace normquant::NORMQUANT_BACKEND
