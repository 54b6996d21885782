// Watches the kernels that one OS thread runs: every access to memory, and what orders them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/host_exec/cluster.hpp"
#include "host/watch/clock.hpp"
#include "host/watch/counts.hpp"
#include "host/watch/finding.hpp"
#include "host/watch/memory.hpp"
#include "host/watch/places.hpp"

namespace normquant::host_exec::watch {

enum class Kind { read, write, atomic };

/// One for every OS thread. The events of events.hpp and the compiler's hooks (hooks.cpp) end here.
class Watcher {
 public:
  /// This OS thread's.
  static Watcher& here();
  /// This OS thread's while a CUDA thread runs on it; null otherwise.
  static Watcher* active() { return active_; }

  void access(std::uintptr_t address, std::size_t bytes, Kind kind, bool must_be_aligned, const void* from);
  void enter(const void* from) { state().calls.push_back(places_.call(innermost_call(), from)); }
  void leave() {
    if (!state().calls.empty()) state().calls.pop_back();
  }

  void launch_begins(const GridShape& shape);
  void launch_ends();
  void block_is_made(Block& block);
  void cluster_ends();
  void runs(CudaThread* thread);
  void shared_memory_is_lost(const Block& block, bool ended);

  void meet(const std::vector<CudaThread*>& threads, const char* what, bool orders);
  void comes_to_block_barrier(const void* from);
  void arrives_at_cluster();
  void all_arrived_at_cluster();
  void leaves_cluster_barrier();
  void stores_for_block(std::uintptr_t address, std::size_t bytes, const void* from);
  void sends(const Block& to, std::size_t phase);
  void receives(std::size_t phase);
  void fence();
  void copy_begins(std::uintptr_t to, std::uintptr_t from_global, const void* from);
  void copy_ends(std::uintptr_t to);

  void counting_begins() { counter_ = std::make_unique<Counter>(); }
  Counts counting_ends();
  std::vector<std::string> take_findings() { return findings_.take(places_); }

 private:
  static inline thread_local Watcher* active_ = nullptr;

  /// What was sent to a block in one phase of the cluster's barrier.
  struct Inbox {
    Meeting senders;
    SharedClock sent;
  };

  ThreadState& state() { return current_->watched; }
  std::uint32_t innermost_call() { return state().calls.empty() ? 0 : state().calls.back(); }
  std::uint32_t place_of(const void* from) { return places_.instruction(innermost_call(), from); }
  Moment now() { return {state().block, current_->number, state().epoch}; }
  /// Whether the moment lies before what the current thread does now.
  bool is_past(const Moment& moment);
  bool are_past(const Readers& readers, unsigned& one_that_is_not);
  /// The current thread sees what a clock has seen.
  void learns(const SharedClock& clock);
  Region* region_near(std::uintptr_t address);
  void count(Traffic traffic, std::uintptr_t address, std::size_t bytes, std::uint32_t place);
  void touch(Region& region, std::size_t offset, std::size_t bytes, Kind kind, std::uint32_t place);
  bool check_write_before(const Cell& cell, Kind kind, Finding& finding);
  bool check_readers(Region& region, Cell& cell, Kind kind, Finding& finding);
  void add_reader(Region& region, Cell& cell, bool atomic, std::uint32_t place);
  void release_and_acquire(Region& region, std::size_t offset);
  Finding finding_at(const Region& region, std::int64_t offset, std::size_t bytes, Kind kind, std::uint32_t place);
  Access other_access(std::uint32_t block, unsigned thread, std::uint32_t place) const;

  CudaThread* current_ = nullptr;
  GridShape shape_;
  std::uint32_t first_block_ = 1, blocks_ = 0;                      ///< numbers of the blocks of this launch
  std::deque<Region> shared_;                                       ///< of the blocks that run together, by rank
  Meeting arrivals_;                                                ///< at the cluster's barrier
  SharedClock cluster_seen_;                                        ///< what all had seen who met there last
  std::map<std::pair<std::uint32_t, std::size_t>, Inbox> inboxes_;  ///< by block and phase
  SharedClock learnt_from_[2], learnt_;                             ///< the last answer of learns()
  std::array<Region*, 8> last_global_ = {};                         ///< that accesses were in last, in turn
  std::uint32_t next_global_ = 0;
  std::array<std::uintptr_t, 64> elsewhere_ = {};  ///< addresses / 64 that are near no region: variables like threadIdx
  std::uint64_t last_version_ = ~std::uint64_t{0};
  std::uint32_t replaced_ = 0;        ///< draws which of too many readers is forgotten
  std::unique_ptr<Counter> counter_;  ///< while it counts
  bool counted_already_ = false;      ///< the accesses are parts of a copy or an exchange, which counts as one
  Places places_;
  Findings findings_;
};

}  // namespace normquant::host_exec::watch
