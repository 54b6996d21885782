// Blocks of one grid and global memory: overlapping outputs, the last block, the grid's barrier, launches.
#include "controls.hpp"
#include "device/grid.cuh"
#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr unsigned threads = 64, blocks = 4;

/// Every block writes the same elements, or its own.
template <bool own>
__global__ void write_elements(ControlMemory m) {
  m.out[(own ? blockIdx.x * threads : 0) + threadIdx.x] = m.in[threadIdx.x];
}

/// Each block reads what the one before it writes.
__global__ void read_of_block_before(ControlMemory m) {
  m.out[blockIdx.x * threads + threadIdx.x] = m.in[threadIdx.x];
  if (blockIdx.x > 0)
    m.out[1024 + blockIdx.x * threads + threadIdx.x] = m.out[(blockIdx.x - 1) * threads + threadIdx.x];
}

/// Each block leaves a value; the last one to arrive adds them up. The fence is what makes the value visible before the count.
template <bool fence>
__global__ void last_block(ControlMemory m) {
  auto* is_last = shared_memory<unsigned>();
  if (threadIdx.x == 0) {
    m.out[blockIdx.x] = m.in[blockIdx.x];
    if (fence) __threadfence();
    *is_last = atomicAdd(m.counters, 1U) == gridDim.x - 1 ? 1U : 0U;
  }
  __syncthreads();
  if (*is_last == 0U) return;
  if (fence) __threadfence();
  if (threadIdx.x == 0) {
    float sum = 0.0F;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += *(static_cast<volatile float*>(m.out) + i);
    m.out[100] = sum;
  }
}

/// Every thread leaves a value, one thread of the block says so.
__global__ void last_block_of_all_threads(ControlMemory m) {
  auto* is_last = shared_memory<unsigned>();
  m.out[blockIdx.x * threads + threadIdx.x] = m.in[threadIdx.x];
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *is_last = atomicAdd(m.counters, 1U) == gridDim.x - 1 ? 1U : 0U;
  __syncthreads();
  if (*is_last == 0U) return;
  __threadfence();
  float sum = 0.0F;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += *(static_cast<volatile float*>(m.out) + i * threads + threadIdx.x);
  m.out[1024 + threadIdx.x] = sum;
}

/// Blocks that run at the same time add up what all of them left.
template <bool barrier>
__global__ void whole_grid(ControlMemory m) {
  if (threadIdx.x == 0) m.out[blockIdx.x] = m.in[blockIdx.x];
  if (barrier) {
    grid_barrier();
  } else {
    __syncthreads();
  }
  float sum = 0.0F;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += m.out[i];
  m.out[1024 + blockIdx.x * threads + threadIdx.x] = sum;
}

/// All blocks count in one place.
__global__ void count_in_global(ControlMemory m) { atomicAdd(m.counters, 1U); }

__global__ void copy_backwards(ControlMemory m) {
  const unsigned t = blockIdx.x * threads + threadIdx.x;
  m.out[1024 + t] = m.out[blocks * threads - 1 - t];
}

LaunchShape shape(bool cooperative) {
  LaunchShape all;
  all.grid = dim3{blocks, 1, 1};
  all.block = dim3{threads, 1, 1};
  all.shared_bytes = 64;
  all.cooperative = cooperative;
  return all;
}

template <void (*kernel)(ControlMemory), bool cooperative = false>
Status run(const ControlMemory& memory, Stream stream) {
  return launch_kernel(kernel, shape(cooperative), stream, memory);
}

/// The end of a kernel orders everything.
Status run_one_after_the_other(const ControlMemory& memory, Stream stream) {
  if (Status status = run<write_elements<true>>(memory, stream); !status.ok()) return status;
  return run<copy_backwards>(memory, stream);
}

Status run_after_zero_fill(const ControlMemory& memory, Stream stream) {
  if (Status status = zero_fill(memory.out, sizeof(float) * blocks * threads, stream); !status.ok()) return status;
  return run<copy_backwards>(memory, stream);
}

}  // namespace

std::vector<Control> controls_in_global_memory() {
  return {
      {"global_same_elements", "race", run<write_elements<false>>},
      {"global_own_elements", "", run<write_elements<true>>},
      {"global_of_block_before", "race", run<read_of_block_before>},
      {"last_block_no_fence", "race", run<last_block<false>>},
      {"last_block_fence", "", run<last_block<true>>},
      {"last_block_of_all_threads", "", run<last_block_of_all_threads>},
      {"grid_no_barrier", "race", run<whole_grid<false>, true>},
      {"grid_barrier", "", run<whole_grid<true>, true>},
      {"global_counter", "", run<count_in_global>},
      {"two_launches", "", run_one_after_the_other},
      {"after_zero_fill", "", run_after_zero_fill},
      {"global_unwritten", "unwritten", run<copy_backwards>},
  };
}

}  // namespace normquant::NORMQUANT_BACKEND
