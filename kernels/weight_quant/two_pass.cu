// weight_quant, w read twice: once for the sum of magnitudes, once to quantise.
//
//   absmean = sum|w| / count;  weight_scale = 1 / max(absmean, 1e-5)
//   code = clamp(round_half_even(w * weight_scale), -1, 1);  out = code / weight_scale
//
// Bytes an element (bfloat16): 4 read (the second 2 from the L2 when w fits there) + 2 (out), 1 (codes) or 1/4 (packed).
// Both kernels run as many blocks as are resident at a time. Each block has an equal share of the packets, reads it
// forwards in the first kernel and backwards in the second, so that what was read last is read again while the L2 has
// it. A matrix without gaps between its rows is one long row.
// The sum is deterministic: a thread adds K packets in float32 (32 or 64 terms), those sums in float64, and blocks write
// partial sums, which every block of the second kernel adds in the same order. Right for any count.
#include "algorithms.hpp"
#include "device/overlap.cuh"
#include "device/support.hpp"
#include "weight_quant/packet_share.cuh"
#include "weight_quant/weight_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Threads of a multiprocessor that the kernels leave registers for: 40 each, 64 or 128. All loads of a thread's K
/// packets are under way together.
constexpr int resident_threads(int V, int K, bool rows) { return V == 1 ? 512 : K > 4 || rows ? 1024 : 1536; }

/// The thread's packets of a tile.
template <class W, int V, bool Full, class Share, int K, int C>
__device__ __forceinline__ void load_tile(const WeightQuant& a, const Share& share, int tile, Packet<W, C> (&w)[K]) {
  share.template each<Full>(tile, [&](int k, const auto& place) {
    load_packet<V>(static_cast<const W*>(a.w.data) + place.at(a.w.ld, C), a.columns - place.packet * C, w[k]);
  });
}

template <class W, int V, int K, bool Full, class Share>
__device__ __forceinline__ double tile_sum(const WeightQuant& a, const Share& share, int tile) {
  constexpr int C = packet_columns(V);
  Packet<W, C> packets[K];  // zeros where there is nothing to load
  load_tile<W, V, Full>(a, share, tile, packets);
  float sum = 0.0F;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    sum += packet_magnitudes(packets[k]);
  }
  return static_cast<double>(sum);
}

template <class W, int V, int T, int K, bool Rows>
__global__ void __launch_bounds__(T, resident_threads(V, K, Rows) / T)
    sum_magnitudes(const __grid_constant__ WeightQuant a, std::int64_t packets_per_block, double* partial) {
  overlap_launches();
  const PacketShare<packet_columns(V), T, K, Rows> share(a.rows, a.columns, packets_per_block);

  double sum = 0.0;
#pragma unroll 1  // more would not fit the registers
  for (int tile = 0; tile < share.last_tile; ++tile) sum += tile_sum<W, V, K, true>(a, share, tile);
  sum += tile_sum<W, V, K, false>(a, share, share.last_tile);
  sum = block_sum(sum, shared_memory<WeightShared>()->sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <int V, bool Full, class Share, class W, int K, int C>
__device__ __forceinline__ void store_tile(const WeightQuant& a, const Share& share, int tile,
                                           const Packet<W, C> (&w)[K], const TernaryScale& scale) {
  if (a.out.given()) {
    with_element_type(a.out.type, [&](auto type) {
      using Out = typename decltype(type)::type;
      share.template each<Full>(tile, [&](int k, const auto& place) {
        store_packet<V>(static_cast<Out*>(a.out.data) + place.at(a.out.ld, C), a.columns - place.packet * C,
                        TernaryCodes<C>(w[k], scale).template values<Out>(scale));
      });
    });
  }
  if (a.codes != nullptr) {
    share.template each<Full>(tile, [&](int k, const auto& place) {
      store_packet<V>(a.codes + place.at(a.ld_codes, C), a.columns - place.packet * C,
                      TernaryCodes<C>(w[k], scale).bytes());
    });
  }
  if (a.packed != nullptr) {
    share.template each<Full>(tile, [&](int k, const auto& place) {
      store_packet<V>(a.packed + place.at(a.ld_packed, C / 4), C / 4, TernaryCodes<C>(w[k], scale).packed());
    });
  }
}

template <class W, int V, int T, int K, bool Rows>
__global__ void __launch_bounds__(T, resident_threads(V, K, Rows) / T)
    quantise_weights(const __grid_constant__ WeightQuant a, std::int64_t packets_per_block, const double* partial,
                     double per_element) {
  overlap_launches();
  constexpr int C = packet_columns(V);
  const PacketShare<C, T, K, Rows> share(a.rows, a.columns, packets_per_block);
  Packet<W, C> w[K];
  int tile = share.last_tile;
  load_tile<W, V, false>(a, share, tile, w);  // on its way while the sums are added
  const TernaryScale scale = scale_of<W>(a, partial, per_element);
  store_tile<V, false>(a, share, tile, w, scale);
  while (--tile >= 0) {
    load_tile<W, V, true>(a, share, tile, w);
    store_tile<V, true>(a, share, tile, w, scale);
  }
}

int elements(const Variant<WeightQuant>& variant, const WeightQuant& a) {
  return elements_per_access(variant.tuning.access_bytes, a.w.type);
}

/// How the flattened problem is cut up, in both kernels alike.
struct Plan {
  bool rows;           ///< element accesses, or gaps between the rows
  int packets;         ///< K, packets that a thread has under way
  std::int64_t share;  ///< packets of a block
  int blocks;
};

/// As many blocks as are resident, or as have a packet for every thread. Shares start at whole cache lines.
Plan plan_for(const Variant<WeightQuant>& variant, const WeightQuant& flat, const DeviceInfo& device) {
  const int v = elements(variant, flat);
  Plan plan = {};
  plan.rows = v == 1 || flat.rows > 1;
  plan.packets = plan.rows ? 4 : variant.tuning.elements;
  const std::int64_t packets = flat.rows * divide_up(flat.columns, packet_columns(v));
  const std::int64_t threads = variant.tuning.threads_per_row;
  const std::int64_t most = device.sm_count * (resident_threads(v, plan.packets, plan.rows) / threads);
  const std::int64_t even = divide_up(divide_up(packets, most), warp_threads) * warp_threads;
  plan.share = even < threads ? threads : even;
  plan.blocks = static_cast<int>(divide_up(packets, plan.share));
  return plan;
}

std::string why_not(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo&) {
  const WeightQuant flat = flattened(a);
  const int v = elements(variant, flat);
  if (v > 1 && flat.codes != nullptr && !packets_aligned(flat.codes, flat.ld_codes, 1, v)) {
    return "needs every row of codes to start at a multiple of " + std::to_string(v);
  }
  if (v > 1 && flat.packed != nullptr && !packets_aligned(flat.packed, flat.ld_packed, 1, v / 4)) {
    return "needs every row of packed to start at a multiple of " + std::to_string(v / 4);
  }
  return why_not_packets(v, flat.columns, flat.w, flat.out);
}

std::size_t workspace_bytes(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device) {
  return sizeof(double) * static_cast<std::size_t>(plan_for(variant, flattened(a), device).blocks);
}

std::int64_t requested_bytes(const Variant<WeightQuant>&, const WeightQuant& a, const DeviceInfo&) {
  return algorithmic_bytes(a) + static_cast<std::int64_t>(size_of(a.w.type)) * a.rows * a.columns;
}

template <class W, int V, int T, int K, bool Rows>
Status launch_both(const WeightQuant& flat, const Plan& plan, const LaunchShape& shape, double* partial,
                   Stream stream) {
  Status status = launch_kernel(sum_magnitudes<W, V, T, K, Rows>, shape, stream, flat, plan.share, partial);
  if (!status.ok()) return status;
  const double per_element = 1.0 / (static_cast<double>(flat.rows) * static_cast<double>(flat.columns));
  return launch_kernel(quantise_weights<W, V, T, K, Rows>, shape, stream, flat, plan.share,
                       static_cast<const double*>(partial), per_element);
}

Status launch(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device, void* workspace,
              Stream stream) {
  const WeightQuant flat = flattened(a);
  const Plan plan = plan_for(variant, flat, device);
  LaunchShape shape;
  shape.grid = dim3{static_cast<unsigned>(plan.blocks), 1, 1};
  shape.block = dim3{static_cast<unsigned>(variant.tuning.threads_per_row), 1, 1};
  shape.shared_bytes = sizeof(WeightShared);
  shape.overlap = device.compute_capability >= 90;
  double* partial = static_cast<double*>(workspace);
  constexpr std::true_type yes;
  constexpr std::false_type no;
  return with_packet_type(flat.w.type, elements(variant, flat), [&](auto packet) {
    using W = typename decltype(packet)::element;
    constexpr int V = decltype(packet)::count;
    const auto with = [&](auto threads, auto packets, auto rows) {
      return launch_both<W, V, threads, packets, rows>(flat, plan, shape, partial, stream);
    };
    if constexpr (V == 1) {
      return with(std::integral_constant<int, 256>{}, std::integral_constant<int, 4>{}, yes);
    } else {
      constexpr std::integral_constant<int, 512> threads;
      return plan.rows ? with(threads, std::integral_constant<int, 4>{}, yes)
                       : with(threads, std::integral_constant<int, 8>{}, no);
    }
  });
}

// Names: t = threads a block, k = packets that a thread has under way, v = bytes an access (v1: one element).
constexpr VariantRow rows[] = {
    {.name = "two_pass_t512_k8_v16",
     .summary = "w read twice, 8 packets a thread under way (4 when rows have gaps)",
     .threads_per_row = 512,
     .elements = 8},
    {.name = "two_pass_t256_v1",
     .summary = "w read twice, element accesses: any alignment, any K_in",
     .threads_per_row = 256,
     .elements = 4,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<WeightQuant>>& weight_quant_two_pass() {
  static const auto table = variant_table<WeightQuant>(
      {.why_not = why_not, .workspace_bytes = workspace_bytes, .requested_bytes = requested_bytes, .launch = launch},
      rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
