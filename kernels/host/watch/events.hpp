// What the host device tells whoever watches its kernels: switches between threads, barriers, memory. In a build that does
// not watch (without NORMQUANT_WATCHED) nobody is told, and all of this is nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#if defined(NORMQUANT_WATCHED)
#include <cstdint>
#include <memory>
#endif

namespace normquant::host_exec {

struct dim3;
struct GridShape;
struct CudaThread;
struct Block;

namespace watch {

#if defined(NORMQUANT_WATCHED)

struct Clock;
using SharedClock = std::shared_ptr<const Clock>;

/// What is known of one CUDA thread.
struct ThreadState {
  std::uint32_t block = 0;           ///< counted over all launches
  std::uint32_t epoch = 1;           ///< see Moment
  SharedClock seen;                  ///< what happened before
  SharedClock seen_at_arrival;       ///< at the cluster's barrier
  SharedClock fenced;                ///< what happened before the last __threadfence()
  std::vector<std::uint32_t> calls;  ///< how it got where it is, see Places
  std::uint32_t meetings = 0;        ///< barriers and warp operations so far
  std::uint32_t barrier_from = 0;    ///< where it waits at the block's barrier, see Places
};

/// A launch on this OS thread begins and ends; the blocks of a cluster begin and end together.
void launch_begins(const GridShape& shape);
void launch_ends();
void block_is_made(Block& block);
void cluster_ends();
/// `thread` runs from now on; null: none does.
void runs(CudaThread* thread);
/// Shared memory of the block is as good as never written.
void shared_memory_is_lost(const Block& block, bool ended);

/// All threads of `threads` meet, where `what` says; `orders`: each sees afterwards what the others did before.
void meet(const std::vector<CudaThread*>& threads, const char* what, bool orders);
/// The current thread comes to the block's barrier, called from there.
void comes_to_block_barrier(const void* from);
/// The two halves of the cluster's barrier, by the current thread, and all being there.
void arrives_at_cluster();
void all_arrived_at_cluster();
void leaves_cluster_barrier();
/// The current thread sends a value: it is stored there, and is for that block in phase `phase` of the cluster's barrier; the
/// current thread has all of what was sent to its block in that phase.
void stores_for_block(const void* address, std::size_t bytes, const void* from);
void sends(const Block& to, std::size_t phase);
void receives(std::size_t phase);

/// __threadfence(); an atomic operation on `bytes` bytes, before it is done.
void fence();
void atomic(const void* address, std::size_t bytes, const void* from);
/// An asynchronous copy of 16 bytes begins; ends, because the thread that began it waited for it.
void copy_begins(const void* to, const void* from_global, const void* from);
void copy_ends(const void* to);

/// Memory of the host device comes and goes; something else than a kernel wrote to it; it is as good as never written.
void memory_is_allocated(const void* begin, std::size_t bytes);
void memory_is_released(const void* begin);
void is_written(const void* begin, std::size_t bytes);
void is_lost(const void* begin, std::size_t bytes);

/// What was found on this OS thread since the last call: one sentence each.
std::vector<std::string> take_findings();

/// Bytes on both sides of every piece of memory that nobody may touch, and that belong to nobody else.
constexpr std::size_t zone_bytes = 16384;
constexpr bool watched = true;

#else

struct ThreadState {};
inline void launch_begins(const GridShape&) {}
inline void launch_ends() {}
inline void block_is_made(Block&) {}
inline void cluster_ends() {}
inline void runs(CudaThread*) {}
inline void shared_memory_is_lost(const Block&, bool) {}
inline void meet(const std::vector<CudaThread*>&, const char*, bool) {}
inline void comes_to_block_barrier(const void*) {}
inline void arrives_at_cluster() {}
inline void all_arrived_at_cluster() {}
inline void leaves_cluster_barrier() {}
inline void stores_for_block(const void*, std::size_t, const void*) {}
inline void sends(const Block&, std::size_t) {}
inline void receives(std::size_t) {}
inline void fence() {}
inline void atomic(const void*, std::size_t, const void*) {}
inline void copy_begins(const void*, const void*, const void*) {}
inline void copy_ends(const void*) {}
inline void memory_is_allocated(const void*, std::size_t) {}
inline void memory_is_released(const void*) {}
inline void is_written(const void*, std::size_t) {}
inline void is_lost(const void*, std::size_t) {}
inline std::vector<std::string> take_findings() { return {}; }
constexpr std::size_t zone_bytes = 0;
constexpr bool watched = false;

#endif

}  // namespace watch
}  // namespace normquant::host_exec
