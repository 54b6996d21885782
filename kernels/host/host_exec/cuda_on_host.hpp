// CUDA's words for a kernel that g++ compiles for the CPU: built-in variables, intrinsics, vector types.
// Each CUDA thread is a fiber; see docs/host_execution.md for what this models and what it does not.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "host/watch/events.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace normquant::host_exec {

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct uint4 {
  std::uint32_t x, y, z, w;
} __attribute__((aligned(16), may_alias));
struct uint2 {
  std::uint32_t x, y;
} __attribute__((aligned(8), may_alias));

/// The built-in variables of the CUDA thread that runs now; the scheduler sets them at every switch.
inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

/// Blocks of the largest cluster, as on Hopper.
constexpr unsigned most_cluster_blocks = 16;

/// Extent of a launch, as in kernel<<<grid, block, shared_bytes>>>; `cluster` neighbouring blocks along x run together.
/// A cooperative grid is one cluster of all its blocks, however many.
struct GridShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  unsigned cluster = 1;
  bool cooperative = false;
  const char* file = "";  ///< of the kernel's source, for sentences
};

/// Runs `thread_body` once for every CUDA thread of the grid, cluster after cluster, in an order drawn from the
/// schedule seed. Throws std::runtime_error, naming the kernel's file, for an extent that a GPU refuses (limits.hpp), of which
/// nothing runs; and, naming block and threads, when a barrier or warp operation is not reached by all, or a thread makes a
/// mistake at which a GPU stops.
void run_grid(const GridShape& shape, const std::function<void()>& thread_body);

/// How many multiprocessors the launches of this OS thread find: what a cooperative grid has to fit.
void set_multiprocessors(unsigned count);

/// The current thread moves `bytes` bytes, a power of two, in one access, of which the address is a multiple: a GPU stops at
/// any other ("misaligned address"), and so does this.
void misaligned(const void* address, std::size_t bytes);
inline void must_be_aligned(const void* address, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) misaligned(address, bytes);
}

/// Seed of the schedules of the launches that this OS thread makes from now on. Odd: threads in any order; even: a warp runs
/// ahead of the others as far as the barriers let it.
void set_schedule_seed(std::uint64_t seed);

/// The block's dynamic shared memory; filled with 0xFF (NaN) when the block starts.
unsigned char* dynamic_shared_memory();

/// Waits until all threads of the block are here.
void block_barrier();

/// Waits until `threads` threads of the block are at its barrier `id`, 1 to most_group_barriers. It is an error when those
/// that meet there expect different numbers.
constexpr unsigned most_group_barriers = 15;
void barrier_of_group(unsigned id, unsigned threads);

/// This block's rank in its cluster, and how many blocks the cluster has.
unsigned rank_of_this_block();
unsigned blocks_of_this_cluster();

/// The cluster's barrier in two halves: this thread is here; waits until all threads of all blocks were. It is an error to
/// arrive twice without a wait, or to wait without having arrived. `orders`: what was done before the arrival, all see after
/// the wait (the hardware's release and acquire); otherwise it says no more than that all were here.
void arrive_at_cluster(bool orders = true);
void wait_for_cluster(bool orders = true);

/// An exchange of values between the blocks of a cluster: `value` goes to `mine` as the block of that rank sees it; all is sent,
/// and one thread of the block says so to its block; waits for the values of all blocks. Values come with what their senders
/// have seen, and nothing else is ordered. Who says so also says how many bytes the block receives in this round: others than
/// are sent are an error, for a GPU would wait for them for ever.
void send_to_block(float* mine, unsigned rank, float value);
void arrive_with_sent(bool says_so, unsigned bytes);
void receive_from_blocks();

/// Where the block of that rank has what this block has at `mine` in its shared memory. It is an error when that block
/// has ended. Its memory is filled with 0xFF when it begins and when it ends.
void* shared_memory_of_block(void* mine, unsigned rank);

/// An asynchronous copy of 16 bytes begins, and the place holds 0xFF; it ends, and the place holds what it is to. It is an
/// error when one of the addresses is no multiple of 16, or the place is not in the block's shared memory.
void copy_begins(void* to_shared, const void* from_global);
void copy_ends(void* to_shared, const void* from_global);

/// Waits until all lanes of `mask` are here, each with a value of its own; returns the values by lane.
/// `kind` names the operation, so that lanes that meet in different ones are found.
const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, const char* kind);

/// This thread's lane in its warp.
unsigned lane_of_this_thread();

inline void __syncthreads() { block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffU) { warp_exchange(mask, 0, "__syncwarp"); }
inline void __threadfence() { watch::fence(); }

template <class T>
T shuffled(unsigned mask, T value, unsigned from_lane, const char* kind) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const std::uint64_t* all = warp_exchange(mask, bits, kind);
  std::memcpy(&value, &all[from_lane & 31U], sizeof(T));
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned lane_mask) {
  return shuffled(mask, value, lane_of_this_thread() ^ lane_mask, "__shfl_xor_sync");
}
template <class T>
T __shfl_sync(unsigned mask, T value, unsigned lane) {
  return shuffled(mask, value, lane, "__shfl_sync");
}

inline std::uint32_t __reduce_max_sync(unsigned mask, std::uint32_t value) {
  const std::uint64_t* all = warp_exchange(mask, value, "__reduce_max_sync");
  std::uint64_t largest = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0) largest = std::max(largest, all[lane]);
  }
  return static_cast<std::uint32_t>(largest);
}

// One launch runs on one OS thread, and a fiber gives way only at barriers and warp operations: plain reads and writes
// are atomic.
template <class T>
__attribute__((noinline, no_sanitize("thread"))) T atomicAdd(T* address, T value) {
  watch::atomic(address, sizeof(T), __builtin_return_address(0));
  const T before = *address;
  *address = before + value;
  return before;
}

inline std::uint32_t __float_as_uint(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
using std::copysign;
using std::fabs;
inline float fmaxf(float a, float b) { return std::fmax(a, b); }
inline float fminf(float a, float b) { return std::fmin(a, b); }
inline float fmaf(float a, float b, float c) { return std::fma(a, b, c); }
inline float rintf(float a) { return std::rint(a); }
/// A float64 sum of no negative terms, cut off to float32.
inline float rounded_to_zero(double sum) {
  const float nearest = static_cast<float>(sum);
  return static_cast<double>(nearest) > sum ? std::nextafter(nearest, 0.0F) : nearest;
}
/// a + b rounded towards zero, for b >= a >= 0 whose sum float64 holds exactly.
inline float __fadd_rz(float a, float b) { return rounded_to_zero(static_cast<double>(a) + static_cast<double>(b)); }
/// a * b + c rounded towards zero, for a, b >= 0 and c = 1/2. float64 holds the product; where it rounds the sum, the
/// product is so small that cutting off gives c either way, or float32 could not tell.
inline float __fmaf_rz(float a, float b, float c) {
  return rounded_to_zero(static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c));
}
inline float fabsf(float a) { return std::fabs(a); }
inline float sqrtf(float a) { return std::sqrt(a); }
inline float copysignf(float a, float b) { return std::copysign(a, b); }

}  // namespace normquant::host_exec
