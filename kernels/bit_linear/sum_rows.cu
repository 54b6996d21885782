// sum_rows: the sum of a matrix over its rows (dlinear_bias), in float32.
//
//   sums[j] = sum over i of values[i, j]
//
// Bytes an element (bfloat16): 2 read. Blocks add the rows of their own one after the other, V neighbouring columns a
// thread; a second kernel adds the blocks' sums. The order depends on the sizes only.
#include "bit_linear/layer_kernels.hpp"
#include "device/element.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 128;
constexpr std::int64_t most_blocks = 128;  // that share the rows

std::int64_t blocks_of(std::int64_t rows) {
  const std::int64_t blocks = divide_up(rows, 32);
  return blocks < 1 ? 1 : blocks < most_blocks ? blocks : most_blocks;
}

template <class T, int V>
__global__ void __launch_bounds__(threads)
    add_own_rows(const __grid_constant__ RowSums p, std::int64_t rows_per_block) {
  overlap_launches();
  const std::int64_t column = (std::int64_t{blockIdx.x} * threads + threadIdx.x) * V;
  if (column >= p.columns) return;
  const std::int64_t first = blockIdx.y * rows_per_block;
  const std::int64_t last = first + rows_per_block < p.rows ? first + rows_per_block : p.rows;
  float sums[V] = {};
#pragma unroll 4
  for (std::int64_t row = first; row < last; ++row) {
    float values[V];
    load_elements<T>(p.values.data, row * p.values.ld + column, values);
#pragma unroll
    for (int v = 0; v < V; ++v) sums[v] += values[v];
  }
#pragma unroll
  for (int v = 0; v < V; ++v) p.partial[blockIdx.y * p.columns + column + v] = sums[v];
}

__global__ void __launch_bounds__(threads) add_blocks(const __grid_constant__ RowSums p, std::int64_t blocks) {
  overlap_launches();
  const std::int64_t column = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (column >= p.columns) return;
  float sum[1] = {};
  for (std::int64_t block = 0; block < blocks; ++block) sum[0] += p.partial[block * p.columns + column];
  store_typed(p.sums.data, p.sums.type, column, sum);
}

}  // namespace

Status sum_rows(const RowSums& p, const DeviceInfo& device, Stream stream) {
  const std::int64_t blocks = blocks_of(p.rows), rows_per_block = divide_up(p.rows, blocks);
  const int wide = elements_per_access(16, p.values.type);
  const bool aligned = p.columns % wide == 0 && packets_aligned(p.values, wide);
  LaunchShape shape{dim3{}, dim3{threads, 1, 1}};
  shape.overlap = device.compute_capability >= 90;
  Status status = with_packet_type(p.values.type, aligned ? wide : 1, [&](auto packet) {
    constexpr int V = decltype(packet)::count;
    shape.grid =
        dim3{static_cast<unsigned>(divide_up(p.columns, std::int64_t{V} * threads)), static_cast<unsigned>(blocks), 1};
    return launch_kernel(add_own_rows<typename decltype(packet)::element, V>, shape, stream, p, rows_per_block);
  });
  if (!status.ok()) return status;
  shape.grid = dim3{static_cast<unsigned>(divide_up(p.columns, threads)), 1, 1};
  return launch_kernel(add_blocks, shape, stream, p, blocks);
}

}  // namespace normquant::NORMQUANT_BACKEND

#if !defined(__CUDACC__)
namespace normquant {
std::size_t row_sums_partial_bytes(std::int64_t rows, std::int64_t columns) {
  return sizeof(float) * static_cast<std::size_t>(host::blocks_of(rows) * columns);
}
}  // namespace normquant
#endif
