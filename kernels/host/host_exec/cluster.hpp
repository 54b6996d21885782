// The blocks that run together on the host device, and how their threads wait for each other.
// Used by scheduler.cpp only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/host_exec/cuda_on_host.hpp"
#include "host/host_exec/fiber.hpp"
#include "host/watch/events.hpp"

namespace normquant::host_exec {

constexpr unsigned warp_size = 32;

inline unsigned size_of(const dim3& extent) { return extent.x * extent.y * extent.z; }

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, the same everywhere.
struct Generator {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return next() % n; }  // n is far below 2^64: no bias to speak of
};

struct Block;

struct CudaThread {
  Fiber fiber;
  dim3 index;
  unsigned number = 0;  ///< linear index in the block
  Block* block = nullptr;
  const char* waits_for = nullptr;  ///< the operation it waits in; null while it may run
  bool arrived = false;             ///< at the cluster's barrier, and has not waited there yet
  std::size_t arrived_in = 0;       ///< the phase of that barrier in which it arrived
  [[no_unique_address]] watch::ThreadState watched;
};

/// Two sets of slots: a lane that runs ahead writes the next exchange's set, and cannot come to the one after that
/// before every lane has read this one.
struct Warp {
  std::uint64_t slots[2][warp_size];
  unsigned arrived = 0;  ///< lanes that wait in the current exchange
  unsigned parity = 0;
  const char* kind = nullptr;
};

/// Those who wait at a named barrier of a block, and how many are to meet there.
struct GroupBarrier {
  unsigned expected = 0;
  std::vector<CudaThread*> waiting;
};

/// One block's threads, warps and shared memory, which is filled with 0xFF.
struct Block {
  Block(const GridShape& shape, const dim3& block_index, unsigned rank_in_cluster);
  void poison_shared() { std::memset(shared, 0xFF, shared_bytes); }
  bool ended() const { return threads_ended == threads.size(); }

  dim3 index;
  unsigned rank;
  std::vector<CudaThread> threads;
  std::vector<Warp> warps;
  std::size_t shared_bytes;
  std::unique_ptr<unsigned char, decltype(&std::free)>
      memory;  ///< the shared memory, between zones that nobody may touch
  unsigned char* shared;
  std::size_t threads_started = 0;
  std::size_t threads_ended = 0;
  std::size_t at_barrier = 0;
  std::size_t bytes_sent = 0, bytes_expected = 0;  ///< to this block, in this phase of the cluster's barrier
  std::array<GroupBarrier, most_group_barriers> groups;
};

/// The blocks that run together: one, or those of a cluster.
class Cluster {
 public:
  /// Blocks `first_block` and its neighbours along x. `body` runs once for each of their threads and must outlive them.
  /// An even seed lets those that were released last go on first, nearly always: a warp runs ahead of the others as far as
  /// the barriers let it.
  Cluster(const GridShape& shape, const dim3& first_block, const std::function<void()>& body, std::uint64_t seed);
  ~Cluster() { watch::cluster_ends(); }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  /// Runs all threads to their end. Throws std::runtime_error when one does something wrong or never gets on.
  void run();

  // Called by the thread that runs now.
  void wait_for_block();
  void wait_for_group(unsigned id, unsigned threads);
  /// `orders`: what threads did before they arrived, all see after the wait.
  void arrive(bool orders);
  void wait_for_cluster(bool orders);
  void send_to(unsigned rank, std::size_t bytes);
  void expect(std::size_t bytes);
  void receive();
  /// A mistake after which the current thread cannot go on, found where no exception can pass.
  void stop_current(const std::string& what);
  /// A mistake of the current thread, found where an exception can pass.
  void fail(const std::string& what);
  /// Whether the place is in the shared memory of the current thread's block.
  bool in_shared_memory(const void* place, std::size_t bytes) const;
  const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const char* kind);
  void* shared_of(void* mine, unsigned rank);
  CudaThread& current() { return *current_; }
  unsigned blocks() const { return static_cast<unsigned>(blocks_.size()); }

 private:
  void start(CudaThread& thread);
  void end(Block& block);
  void release_others(Block& block);
  /// For whoever watches: all threads of the block, or of the group, have met.
  void tell_of_meeting(const std::vector<CudaThread*>& waited, const char* what, bool orders);
  // These two run at every switch, and only what is defined here is inlined in position-independent code.
  void wait(const char* operation) {
    CudaThread& self = *current_;
    self.waits_for = operation;
    self.fiber.pause();
  }
  void release(CudaThread& thread) {
    thread.waits_for = nullptr;
    ready_.push_back(&thread);
  }
  void check_exchange();
  [[noreturn]] void report_deadlock() const;

  const std::function<void()>& body_;
  Generator generator_;
  bool runs_ahead_;
  std::deque<Block> blocks_;
  std::size_t threads_ = 0;  ///< of all blocks
  std::vector<CudaThread*> ready_;
  CudaThread* current_ = nullptr;
  std::size_t at_barrier_ = 0;  ///< threads that have arrived at the cluster's barrier in this phase
  std::size_t phase_ = 0;       ///< of that barrier
  std::string error_;           ///< a misuse found inside a fiber; thrown by the scheduler
};

/// Cluster::stop_current, for the cluster that runs on this OS thread.
void stop_this_thread(const std::string& what);

}  // namespace normquant::host_exec
