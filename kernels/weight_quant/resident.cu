// weight_quant, w read once: a block a multiprocessor holds its share of the matrix in registers and shared memory while all
// blocks wait for the sum of magnitudes.
//
//   absmean = sum|w| / count;  weight_scale = 1 / max(absmean, 1e-5)
//   code = clamp(round_half_even(w * weight_scale), -1, 1);  out = code / weight_scale
//
// Bytes an element (bfloat16): 2 read + 2 (out), 1 (codes) or 1/4 (packed) written. One launch, with one barrier of the grid.
// Serves matrices without gaps that fit: 38 MB on an H100.
// The sum is deterministic: a thread adds its packets in float32 (144 terms of bfloat16 at most), those sums are added in
// float64, and blocks write partial sums, which every block adds in the same order.
#include <algorithm>
#include <utility>

#include "algorithms.hpp"
#include "device/async_copy.cuh"
#include "device/grid.cuh"
#include "device/overlap.cuh"
#include "weight_quant/packet_share.cuh"
#include "weight_quant/weight_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int threads_a_block = 1024;
constexpr int in_registers = 4;               ///< packets of 16 bytes a thread: 16 of its 64 registers
constexpr std::int64_t bytes_before = 65536;  ///< of a block's share, asked for while the launch before ends
constexpr int in_shared = 14;  ///< packets a thread, at most: 224 of the 227 KB that a block has on Hopper

/// The packets of the calling thread: number, number + threads_a_block, ... of its block's share.
struct Share {
  std::int64_t first;  ///< packet of the matrix
  int left;            ///< packets from there to the end of the block's share

  __device__ __forceinline__ bool has(int i) const { return i * threads_a_block < left; }
  __device__ __forceinline__ std::int64_t packet(int i) const {
    return first + static_cast<std::int64_t>(i) * threads_a_block;
  }
};

/// f(0), f(1), ... f(I - 1) with constants.
template <class F, int... I>
__device__ __forceinline__ void for_constants(std::integer_sequence<int, I...>, F&& f) {
  (f(std::integral_constant<int, I>{}), ...);
}

template <class W, int C>
__device__ __forceinline__ void store_codes(const WeightQuant& a, std::int64_t packet, const Packet<W, C>& w,
                                            const TernaryScale& scale) {
  const TernaryCodes<C> codes(w, scale);
  if (a.out.given()) {
    with_element_type(a.out.type, [&](auto type) {
      using Out = typename decltype(type)::type;
      codes.template values<Out>(scale).store_once(static_cast<Out*>(a.out.data) + packet * C);
    });
  }
  if (a.codes != nullptr) codes.bytes().store_once(a.codes + packet * C);
  if (a.packed != nullptr) codes.packed().store_once(a.packed + packet * (C / 4));
}

template <class W, int C>
__global__ void __launch_bounds__(threads_a_block, 1)
    quantise_resident(const __grid_constant__ WeightQuant a, std::int64_t packets, std::int64_t packets_per_block,
                      double* partial, double per_element) {
  const std::int64_t begin = blockIdx.x * packets_per_block + threadIdx.x;
  const std::int64_t end = min(packets, (blockIdx.x + 1) * packets_per_block);
  const Share share = {begin, static_cast<int>(end - begin)};
  const W* w = static_cast<const W*>(a.w.data);
  unsigned char* slots = shared_memory<unsigned char>() + sizeof(WeightShared) + std::size_t{16} * threadIdx.x;
  const auto slot = [&](int i) { return slots + static_cast<std::size_t>(i * threads_a_block) * 16; };

  if (threadIdx.x == 0) prefetch_to_l2(w + begin * C, min(bytes_before, (end - begin) * 16));
  wait_for_earlier_launches();
  Packet<W, C> packet[in_registers];
#pragma unroll
  for (int i = 0; i < in_registers; ++i) {
    if (share.has(i)) packet[i].load_once(w + share.packet(i) * C);
  }
  AsyncCopies copies;
#pragma unroll
  for (int i = 0; i < in_shared; ++i) {
    if (share.has(in_registers + i)) copies.start(slot(i), w + share.packet(in_registers + i) * C);
    copies.end_group();
  }

  let_next_launch_start();

  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < in_registers; ++i) sum += packet_magnitudes(packet[i]);
  for_constants(std::make_integer_sequence<int, in_shared>{}, [&](auto i) {
    copies.template wait<in_shared - 1 - i>();
    if (!share.has(in_registers + i)) return;
    Packet<W, C> staged;
    staged.load(reinterpret_cast<const W*>(slot(i)));
    sum += packet_magnitudes(staged);
  });
  const double of_block = block_sum(static_cast<double>(sum), shared_memory<WeightShared>()->sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = of_block;
  grid_barrier();

  const TernaryScale scale = scale_of<W>(a, partial, per_element);
#pragma unroll
  for (int i = 0; i < in_registers; ++i) {
    if (share.has(i)) store_codes(a, share.packet(i), packet[i], scale);
  }
#pragma unroll 2
  for (int i = 0; share.has(in_registers + i); ++i) {
    Packet<W, C> staged;
    staged.load(reinterpret_cast<const W*>(slot(i)));
    store_codes(a, share.packet(in_registers + i), staged, scale);
  }
}

int elements_per_packet(const WeightQuant& a) { return 16 / static_cast<int>(size_of(a.w.type)); }

/// How the flattened problem is cut up: a block a multiprocessor, shares at whole cache lines.
struct Plan {
  std::int64_t packets, share;
  int blocks;
  std::size_t shared_bytes;
};

Plan plan_for(const WeightQuant& flat, const DeviceInfo& device) {
  Plan plan = {};
  plan.packets = flat.rows * flat.columns / elements_per_packet(flat);
  plan.share =
      std::max<std::int64_t>(divide_up(divide_up(plan.packets, device.sm_count), warp_threads), 1) * warp_threads;
  plan.blocks = static_cast<int>(divide_up(plan.packets, plan.share));
  const std::int64_t staged = divide_up(plan.share, threads_a_block) - in_registers;
  plan.shared_bytes =
      sizeof(WeightShared) + static_cast<std::size_t>(std::max<std::int64_t>(staged, 0)) * threads_a_block * 16;
  return plan;
}

std::string why_not(const Variant<WeightQuant>&, const WeightQuant& a, const DeviceInfo& device) {
  const WeightQuant flat = flattened(a);
  const int C = elements_per_packet(a);
  if (flat.rows > 1) return "needs a matrix without gaps between its rows";
  if (std::string reason = why_not_packets(C, flat.columns, flat.w, flat.out); !reason.empty()) return reason;
  if ((flat.codes != nullptr && !packets_aligned(flat.codes, 0, 1, C)) ||
      (flat.packed != nullptr && !packets_aligned(flat.packed, 0, 1, C / 4))) {
    return "needs codes and packed to start at a multiple of what 16 bytes of w become";
  }
  const Plan plan = plan_for(flat, device);
  constexpr std::int64_t most_packets = std::int64_t{in_registers + in_shared} * threads_a_block;
  if (plan.share > most_packets || plan.shared_bytes > device.shared_memory_per_block) {
    return "the matrix does not fit the registers and the shared memory of " + std::to_string(device.sm_count) +
           " multiprocessors";
  }
  return "";
}

std::size_t workspace_bytes(const Variant<WeightQuant>&, const WeightQuant& a, const DeviceInfo& device) {
  return sizeof(double) * static_cast<std::size_t>(plan_for(flattened(a), device).blocks);
}

Status launch(const Variant<WeightQuant>&, const WeightQuant& a, const DeviceInfo& device, void* workspace,
              Stream stream) {
  const WeightQuant flat = flattened(a);
  const Plan plan = plan_for(flat, device);
  LaunchShape shape;
  shape.grid = dim3{static_cast<unsigned>(plan.blocks), 1, 1};
  shape.block = dim3{threads_a_block, 1, 1};
  shape.shared_bytes = plan.shared_bytes;
  shape.cooperative = true;
  shape.overlap = device.compute_capability >= 90;
  const double per_element = 1.0 / (static_cast<double>(flat.rows) * static_cast<double>(flat.columns));
  const auto run = [&](auto kernel) {
    return launch_kernel(kernel, shape, stream, flat, plan.packets, plan.share, static_cast<double*>(workspace),
                         per_element);
  };
  return launch_for_type(flat.w.type, [&](auto type) {
    using W = typename decltype(type)::type;
    return run(quantise_resident<W, 16 / sizeof(W)>);
  });
}

constexpr VariantRow rows[] = {
    {.name = "resident",
     .summary = "w read once and held on the chip while all blocks wait",
     .threads_per_row = threads_a_block,
     .elements = in_registers + in_shared},
};

}  // namespace

const std::vector<Variant<WeightQuant>>& weight_quant_resident() {
  static const auto table = variant_table<WeightQuant>({.why_not = why_not,
                                                        .workspace_bytes = workspace_bytes,
                                                        .requested_bytes = requests_algorithmic_bytes,
                                                        .launch = launch},
                                                       rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
