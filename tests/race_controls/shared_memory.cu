// Threads of one block and its shared memory: barriers, warps, groups, atomics.
#include "controls.hpp"
#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 128;

/// How the threads of a block pass a value on before they read their neighbour's.
enum class By { nothing, barrier, other_group, own_group };

/// Thread t reads what thread t + 32 wrote (of another warp), or with own_group what the same row of 64 threads wrote.
template <By by>
__global__ void pass_on(ControlMemory m) {
  float* slots = shared_memory<float>();
  const unsigned t = threadIdx.x, row = t / 64;
  slots[t] = m.in[t];
  if (by == By::barrier) __syncthreads();
  if (by == By::other_group || by == By::own_group) group_barrier(row + 1, 64);
  const unsigned from =
      by == By::own_group ? row * 64 + (t + 32) % 64 : (t + (by == By::other_group ? 64 : 32)) % threads;
  m.out[t] = slots[from];
}

/// Two sums over the block, one after the other. `turns` sets of slots: with one a fast warp overwrites what a slow one reads.
template <int turns>
__global__ void sum_twice(ControlMemory m) {
  float* slots = shared_memory<float>();
  const unsigned t = threadIdx.x;
  float sum = m.in[t];
  for (int turn = 0; turn < 2; ++turn) {
    float* mine = slots + turn % turns * 4;
    if (t % 32 == 0) mine[t / 32] = sum;
    __syncthreads();
    sum = mine[0] + mine[1] + mine[2] + mine[3];
  }
  m.out[t] = sum;
}

enum class Lanes { shuffle, syncwarp };

/// Lanes exchange values by shared memory. A shuffle brings them together and orders nothing (CUDA C++ Programming Guide, "Warp
/// Shuffle Functions"); __syncwarp() does.
template <Lanes lanes>
__global__ void between_lanes(ControlMemory m) {
  float* slots = shared_memory<float>();
  const unsigned t = threadIdx.x;
  slots[t] = m.in[t];
  float together = 0.0F;
  if (lanes == Lanes::shuffle) together = __shfl_xor_sync(0xffffffffU, m.in[t], 1);
  if (lanes == Lanes::syncwarp) __syncwarp();
  m.out[t] = slots[t ^ 1U] + together;
}

/// A butterfly in registers: no memory is shared.
__global__ void shuffles(ControlMemory m) {
  float sum = m.in[threadIdx.x];
  for (unsigned distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, distance);
  m.out[threadIdx.x] = sum;
}

/// Two threads write one place.
__global__ void two_writers(ControlMemory m) {
  float* slots = shared_memory<float>();
  slots[threadIdx.x % 64] = m.in[threadIdx.x];
  __syncthreads();
  m.out[threadIdx.x] = slots[threadIdx.x % 64];
}

/// Four threads write the four bytes of one word.
__global__ void neighbouring_bytes(ControlMemory m) {
  auto* bytes = shared_memory<unsigned char>();
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  __syncthreads();
  m.out[threadIdx.x] = static_cast<float>(bytes[threadIdx.x ^ 3U]);
}

/// All add to a counter, and read it: after a barrier, or at once.
template <bool barrier>
__global__ void count_in_shared(ControlMemory m) {
  auto* counter = shared_memory<unsigned>();
  if (threadIdx.x == 0) *counter = 0;
  __syncthreads();
  atomicAdd(counter, 1U);
  if (barrier) __syncthreads();
  m.out[threadIdx.x] = static_cast<float>(*counter);
}

/// The two halves of a block wait at barriers of their own, which is not allowed: hardware lets it pass.
__global__ void barrier_at_two_places(ControlMemory m) {
  float* slots = shared_memory<float>();
  slots[threadIdx.x] = m.in[threadIdx.x];
  if (threadIdx.x < 64) {
    __syncthreads();
    m.out[threadIdx.x] = slots[threadIdx.x + 64];
  } else {
    __syncthreads();
    m.out[threadIdx.x] = slots[threadIdx.x - 64];
  }
}

/// One half of a block waits, the other ends.
__global__ void barrier_of_a_half(ControlMemory m) {
  if (threadIdx.x < 64) __syncthreads();
  m.out[threadIdx.x] = m.in[threadIdx.x];
}

template <void (*kernel)(ControlMemory)>
Status run(const ControlMemory& memory, Stream stream) {
  return launch_kernel(kernel, dim3{1, 1, 1}, dim3{threads, 1, 1}, threads * sizeof(float), stream, memory);
}

}  // namespace

std::vector<Control> controls_in_shared_memory() {
  return {
      {"shared_no_barrier", "race", run<pass_on<By::nothing>>},
      {"shared_barrier", "", run<pass_on<By::barrier>>},
      {"shared_barrier_of_another_group", "race", run<pass_on<By::other_group>>},
      {"shared_barrier_of_own_group", "", run<pass_on<By::own_group>>},
      {"shared_slots_reused", "race", run<sum_twice<1>>},
      {"shared_slots_in_turns", "", run<sum_twice<2>>},
      {"shared_between_lanes_by_shuffle", "race", run<between_lanes<Lanes::shuffle>>},
      {"shared_between_lanes_by_syncwarp", "", run<between_lanes<Lanes::syncwarp>>},
      {"shuffles", "", run<shuffles>},
      {"shared_two_writers", "race", run<two_writers>},
      {"shared_neighbouring_bytes", "", run<neighbouring_bytes>},
      {"shared_counter_no_barrier", "race", run<count_in_shared<false>>},
      {"shared_counter_barrier", "", run<count_in_shared<true>>},
      {"barrier_at_two_places", "barrier", run<barrier_at_two_places>},
      {"barrier_of_a_half", "deadlock", run<barrier_of_a_half>},
  };
}

}  // namespace normquant::NORMQUANT_BACKEND
