// Which thread has seen what: barriers, warps, fences, clusters, launches.
#include "host/watch/watcher.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "host/watch/events.hpp"

namespace normquant::host_exec::watch {
namespace {

thread_local Watcher watcher_of_this_os_thread;

/// Blocks of all launches of the process; 0 is no block.
std::atomic<std::uint32_t> blocks_so_far = 1;

}  // namespace

Watcher& Watcher::here() { return watcher_of_this_os_thread; }

Counts Watcher::counting_ends() {
  const Counts counts = counter_ == nullptr ? Counts{} : counter_->counts();
  counter_ = nullptr;
  return counts;
}

void Watcher::launch_begins(const GridShape& shape) {
  if (counter_ != nullptr) counter_->launch();
  shape_ = shape;
  blocks_ = size_of(shape.grid);
  first_block_ = blocks_so_far.fetch_add(blocks_);
}

void Watcher::launch_ends() {
  runs(nullptr);
  cluster_ends();
  blocks_ = 0;
}

void Watcher::block_is_made(Block& block) {
  const std::uint32_t number =
      first_block_ + block.index.x + shape_.grid.x * (block.index.y + shape_.grid.y * block.index.z);
  Region& region =
      shared_.emplace_back(Space::shared, reinterpret_cast<std::uintptr_t>(block.shared), block.shared_bytes);
  region.block = number;
  elsewhere_.fill(0);
  for (CudaThread& thread : block.threads) thread.watched.block = number;
}

void Watcher::cluster_ends() {
  if (counter_ != nullptr) counter_->blocks_end();
  shared_.clear();
  arrivals_ = {};
  cluster_seen_ = nullptr;
  inboxes_.clear();
  learnt_from_[0] = learnt_from_[1] = learnt_ = nullptr;
}

void Watcher::runs(CudaThread* thread) {
  current_ = thread;
  active_ = thread == nullptr ? nullptr : this;
}

void Watcher::shared_memory_is_lost(const Block& block, bool ended) {
  for (Region& region : shared_) {
    if (region.begin != reinterpret_cast<std::uintptr_t>(block.shared)) continue;
    region.set(0, region.bytes, ByteState::unwritten);
    region.ended = ended;
  }
}

void Watcher::meet(const std::vector<CudaThread*>& threads, const char* what, bool orders) {
  for (CudaThread* thread : threads) ++thread->watched.meetings;
  if (counter_ != nullptr) counter_->meeting(what, threads.size());
  const std::uint32_t from = threads.front()->watched.barrier_from;
  for (CudaThread* thread : threads) {
    if (from != thread->watched.barrier_from && std::strcmp(what, "__syncthreads") == 0) {
      Finding finding;
      finding.mistake = Mistake::barriers;
      finding.access = other_access(thread->watched.block, thread->number, thread->watched.barrier_from);
      finding.other = other_access(threads.front()->watched.block, threads.front()->number, from);
      findings_.add(finding);
      break;
    }
  }
  if (!orders) return;
  Meeting meeting;
  SharedClock fenced;
  std::uint32_t epoch = 0;
  for (CudaThread* thread : threads) {
    const ThreadState& one = thread->watched;
    meeting.add({one.block, thread->number, one.epoch}, thread->block->threads.size(), one.seen);
    fenced = joined(fenced, one.fenced);
    epoch = std::max(epoch, one.epoch);
  }
  const SharedClock seen = meeting.conclude();
  for (CudaThread* thread : threads) {
    thread->watched.seen = seen;
    thread->watched.fenced = fenced;
    thread->watched.epoch = epoch + 1;
  }
}

void Watcher::comes_to_block_barrier(const void* from) { state().barrier_from = place_of(from); }

void Watcher::learns(const SharedClock& clock) {
  ThreadState& me = state();
  if (learnt_ == nullptr || learnt_from_[0] != me.seen || learnt_from_[1] != clock) {
    learnt_from_[0] = me.seen;
    learnt_from_[1] = clock;
    learnt_ = joined(me.seen, clock);
  }
  me.seen = learnt_;
}

void Watcher::arrives_at_cluster() {
  ThreadState& me = state();
  ++me.meetings;
  arrivals_.add(now(), current_->block->threads.size(), me.seen);
  me.seen_at_arrival = me.seen;
  ++me.epoch;
}

void Watcher::all_arrived_at_cluster() { cluster_seen_ = arrivals_.empty() ? nullptr : arrivals_.conclude(); }

void Watcher::leaves_cluster_barrier() {
  ThreadState& me = state();
  if (me.seen == me.seen_at_arrival && cluster_seen_ != nullptr) {
    me.seen = cluster_seen_;
  } else {
    learns(cluster_seen_);
  }
}

void Watcher::sends(const Block& to, std::size_t phase) {
  inboxes_[{to.threads.front().watched.block, phase}].senders.add(now(), current_->block->threads.size(), state().seen);
  ++state().epoch;
}

void Watcher::receives(std::size_t phase) {
  Inbox& inbox = inboxes_[{state().block, phase}];
  if (!inbox.senders.empty()) inbox.sent = inbox.senders.conclude();
  learns(inbox.sent);
}

void Watcher::fence() {
  Meeting alone;
  alone.add(now(), current_->block->threads.size(), state().seen);
  state().fenced = joined(state().fenced, alone.conclude());
  ++state().epoch;
}

void Watcher::release_and_acquire(Region& region, std::size_t offset) {
  if (region.released_in != first_block_) {
    region.released.clear();
    region.released_in = first_block_;
  }
  SharedClock& released = region.released[offset];
  learns(released);
  released = joined(released, state().fenced);
}

// The events, for whoever runs now.
void launch_begins(const GridShape& shape) { Watcher::here().launch_begins(shape); }
void launch_ends() { Watcher::here().launch_ends(); }
void block_is_made(Block& block) { Watcher::here().block_is_made(block); }
void cluster_ends() { Watcher::here().cluster_ends(); }
void runs(CudaThread* thread) { Watcher::here().runs(thread); }
void shared_memory_is_lost(const Block& block, bool ended) { Watcher::here().shared_memory_is_lost(block, ended); }
void meet(const std::vector<CudaThread*>& threads, const char* what, bool orders) {
  Watcher::here().meet(threads, what, orders);
}
void comes_to_block_barrier(const void* from) { Watcher::here().comes_to_block_barrier(from); }
void arrives_at_cluster() { Watcher::here().arrives_at_cluster(); }
void all_arrived_at_cluster() { Watcher::here().all_arrived_at_cluster(); }
void leaves_cluster_barrier() { Watcher::here().leaves_cluster_barrier(); }
void stores_for_block(const void* address, std::size_t bytes, const void* from) {
  Watcher::here().stores_for_block(reinterpret_cast<std::uintptr_t>(address), bytes, from);
}
void sends(const Block& to, std::size_t phase) { Watcher::here().sends(to, phase); }
void receives(std::size_t phase) { Watcher::here().receives(phase); }
void fence() { Watcher::here().fence(); }
void atomic(const void* address, std::size_t bytes, const void* from) {
  Watcher::here().access(reinterpret_cast<std::uintptr_t>(address), bytes, Kind::atomic, true, from);
}
void copy_begins(const void* to, const void* from_global, const void* from) {
  Watcher::here().copy_begins(reinterpret_cast<std::uintptr_t>(to), reinterpret_cast<std::uintptr_t>(from_global),
                              from);
}
void copy_ends(const void* to) { Watcher::here().copy_ends(reinterpret_cast<std::uintptr_t>(to)); }
std::vector<std::string> take_findings() { return Watcher::here().take_findings(); }
void counting_begins() { Watcher::here().counting_begins(); }
Counts counting_ends() { return Watcher::here().counting_ends(); }

}  // namespace normquant::host_exec::watch
