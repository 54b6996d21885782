// Blocks of a cluster and each other's shared memory.
#include "controls.hpp"
#include "device/cluster.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 64, blocks = 4;

/// Each block writes into the shared memory of the next one, which reads it after a barrier of the cluster, or of itself.
template <bool of_cluster>
__global__ void to_next_block(ControlMemory m) {
  float* slots = shared_memory<float>();
  slots[threadIdx.x] = 0.0F;
  cluster_barrier();
  shared_of_block(slots, (cluster_rank() + 1) % cluster_blocks())[threadIdx.x] = m.in[threadIdx.x];
  if (of_cluster) {
    cluster_barrier();
  } else {
    __syncthreads();
  }
  m.out[blockIdx.x * threads + threadIdx.x] = slots[threadIdx.x];
  cluster_barrier();
}

/// Other work between the halves of the barrier: done by then is what came before the arrival, and no more.
template <bool too_late>
__global__ void between_the_halves(ControlMemory m) {
  float* slots = shared_memory<float>();
  slots[threadIdx.x] = 0.0F;
  cluster_barrier();
  float* next = shared_of_block(slots, (cluster_rank() + 1) % cluster_blocks());
  if (!too_late) next[threadIdx.x] = m.in[threadIdx.x];
  cluster_arrive();
  if (too_late) next[threadIdx.x] = m.in[threadIdx.x];
  cluster_wait();
  m.out[blockIdx.x * threads + threadIdx.x] = slots[threadIdx.x];
  cluster_barrier();
}

constexpr unsigned rounds = 6;
constexpr std::size_t exchange_bytes = 2 * 32 * sizeof(float);

/// Values sent round after round. `turns` sets of slots: with one, a block that is ahead overwrites what another reads.
template <unsigned turns>
__global__ void exchange(ControlMemory m) {
  float* slots = shared_memory<float>();
  ClusterExchange values(slots + 64);
  values.open();
  float sum = m.in[blockIdx.x * threads];
  for (unsigned round = 0; round < rounds; ++round) {
    float* received = slots + round % turns * 32;
    __syncthreads();  // all of this block have read the round before
    if (threadIdx.x < cluster_blocks()) values.send(received + cluster_rank(), threadIdx.x, sum);
    values.sent(cluster_blocks() * static_cast<unsigned>(sizeof(float)));
    values.receive();
    sum = received[0] + received[1] + received[2] + received[3];
  }
  m.out[blockIdx.x * threads + threadIdx.x] = sum;
  cluster_barrier();
}

/// An exchange passes on what is sent. Here the threads read from the next block's shared memory what its other threads wrote.
__global__ void exchange_of_something_else(ControlMemory m) {
  float* slots = shared_memory<float>();
  ClusterExchange values(slots + 64);
  values.open();
  slots[32 + threadIdx.x % 32] = m.in[threadIdx.x % 32 + 32 * (threadIdx.x / 32)];
  if (threadIdx.x < cluster_blocks()) values.send(slots + cluster_rank(), threadIdx.x, 1.0F);
  values.sent(cluster_blocks() * static_cast<unsigned>(sizeof(float)));
  values.receive();
  const float* next = shared_of_block(slots + 32, (cluster_rank() + 1) % cluster_blocks());
  m.out[blockIdx.x * threads + threadIdx.x] = next[threadIdx.x % 32];
  cluster_barrier();
}

template <void (*kernel)(ControlMemory)>
Status run(const ControlMemory& memory, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3{2 * blocks, 1, 1};
  shape.block = dim3{threads, 1, 1};
  shape.shared_bytes = exchange_bytes + cluster_exchange_bytes;
  shape.cluster = blocks;
  return launch_kernel(kernel, shape, stream, memory);
}

}  // namespace

std::vector<Control> controls_of_clusters() {
  return {
      {"cluster_no_barrier", "race", run<to_next_block<false>>},
      {"cluster_barrier", "", run<to_next_block<true>>},
      {"cluster_after_arrival", "race", run<between_the_halves<true>>},
      {"cluster_before_arrival", "", run<between_the_halves<false>>},
      {"exchange_slots_reused", "race", run<exchange<1>>},
      {"exchange_slots_in_turns", "", run<exchange<2>>},
      {"exchange_of_something_else", "race", run<exchange_of_something_else>},
  };
}

}  // namespace normquant::NORMQUANT_BACKEND
