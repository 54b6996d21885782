// Threads of one cluster: which runs next, whom it waits for, and what it did wrong.
#include "host/host_exec/cluster.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace normquant::host_exec {
namespace {

constexpr const char* cluster_barrier_name = "the cluster barrier";

std::string place(const dim3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

// Bytes behind the shared memory that nobody may write; none where AddressSanitizer or a watcher sees every access past the
// end. A watcher has zones on both sides.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t guard_bytes = 0;
#else
constexpr std::size_t guard_bytes = watch::watched ? 0 : 16384;
#endif
constexpr unsigned char guard_value = 0xA5;

unsigned char* allocate_shared(std::size_t bytes) {
  void* memory = nullptr;
  const std::size_t all = watch::zone_bytes + bytes + std::max(guard_bytes, watch::zone_bytes);
  if (posix_memalign(&memory, 128, std::max<std::size_t>(all, 1)) != 0) throw std::bad_alloc();
  std::memset(static_cast<unsigned char*>(memory) + watch::zone_bytes + bytes, guard_value, guard_bytes);
  return static_cast<unsigned char*>(memory);
}

bool guard_is_whole(const unsigned char* shared, std::size_t bytes) {
  static const std::vector<unsigned char> whole(guard_bytes, guard_value);
  return std::equal(whole.begin(), whole.end(), shared + bytes);
}

/// How many threads of the block wait in which operation, with one of them, and how many have ended.
std::string whereabouts(const Block& block) {
  struct Waiting {
    std::string operation;
    const CudaThread* first;
    std::size_t count;
  };
  std::vector<Waiting> all;
  for (const CudaThread& thread : block.threads) {
    if (thread.fiber.ended()) continue;
    auto same = std::find_if(all.begin(), all.end(), [&](const Waiting& w) { return w.operation == thread.waits_for; });
    if (same == all.end()) same = all.insert(all.end(), {thread.waits_for, &thread, 0});
    ++same->count;
  }
  std::string text;
  for (const Waiting& waiting : all) {
    text += " thread " + place(waiting.first->index);
    if (waiting.count > 1) text += " and " + std::to_string(waiting.count - 1) + " more";
    text += std::string(waiting.count > 1 ? " wait in " : " waits in ") + waiting.operation + ";";
  }
  return text + " " + std::to_string(block.threads_ended) + " of " + std::to_string(block.threads.size()) +
         " threads have ended.";
}

}  // namespace

Block::Block(const GridShape& shape, const dim3& block_index, unsigned rank_in_cluster)
    : index(block_index),
      rank(rank_in_cluster),
      threads(size_of(shape.block)),
      warps((threads.size() + warp_size - 1) / warp_size),
      shared_bytes(shape.shared_bytes),
      memory(allocate_shared(shape.shared_bytes), &std::free),
      shared(memory.get() + watch::zone_bytes) {
  poison_shared();
  unsigned number = 0;
  for (CudaThread& thread : threads) {
    thread.block = this;
    thread.number = number;
    thread.index = {number % shape.block.x, number / shape.block.x % shape.block.y,
                    number / (shape.block.x * shape.block.y)};
    ++number;
  }
  watch::block_is_made(*this);
}

Cluster::Cluster(const GridShape& shape, const dim3& first_block, const std::function<void()>& body, std::uint64_t seed)
    : body_(body), generator_{seed}, runs_ahead_(seed % 2 == 0) {
  for (unsigned rank = 0; rank < shape.cluster; ++rank) {
    Block& block = blocks_.emplace_back(shape, dim3{first_block.x + rank, first_block.y, first_block.z}, rank);
    threads_ += block.threads.size();
    for (CudaThread& thread : block.threads) ready_.push_back(&thread);
  }
}

void Cluster::run() {
  std::size_t ended = 0;
  while (!ready_.empty()) {
    constexpr std::size_t rarely = 64;
    if (!runs_ahead_ || generator_.below(rarely) == 0) {
      std::swap(ready_[generator_.below(ready_.size())], ready_.back());
    }
    CudaThread& thread = *ready_.back();
    ready_.pop_back();
    if (!thread.fiber.started()) start(thread);
    current_ = &thread;
    threadIdx = thread.index;
    blockIdx = thread.block->index;
    watch::runs(&thread);
    thread.fiber.resume();
    watch::runs(nullptr);
    if (!error_.empty()) throw std::runtime_error(error_);
    if (!thread.fiber.ended()) continue;
    ++ended;
    if (++thread.block->threads_ended == thread.block->threads.size()) end(*thread.block);
  }
  if (ended != threads_) report_deadlock();
}

void Cluster::start(CudaThread& thread) {
  // What another block wrote before this one began is lost, as it may be on a GPU.
  if (thread.block->threads_started++ == 0 && blocks_.size() > 1) {
    thread.block->poison_shared();
    watch::shared_memory_is_lost(*thread.block, false);
  }
  thread.fiber.start(body_);
}

void Cluster::end(Block& block) {
  if (!guard_is_whole(block.shared, block.shared_bytes)) {
    throw std::runtime_error("block " + place(block.index) + " wrote past the end of its " +
                             std::to_string(block.shared_bytes) + " bytes of shared memory");
  }
  // Another block may hold an address of this shared memory: it stays until the cluster's end, but whoever reads it
  // finds NaN, and whoever touches it AddressSanitizer.
  if (blocks_.size() == 1) return;
  block.poison_shared();
  watch::shared_memory_is_lost(block, true);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(block.shared, block.shared_bytes);
#endif
}

void Cluster::release_others(Block& block) {
  for (CudaThread& thread : block.threads) {
    if (&thread != current_) release(thread);
  }
}

void Cluster::fail(const std::string& what) {
  error_ = "block " + place(current_->block->index) + ", thread " + place(current_->index) + ": " + what;
  wait("a mistake");  // never resumed: run() throws
}

void Cluster::stop_current(const std::string& what) {
  current_->fiber.lose();
  fail(what);
}

void Cluster::tell_of_meeting(const std::vector<CudaThread*>& waited, const char* what, bool orders) {
  if constexpr (!watch::watched) return;
  std::vector<CudaThread*> threads = waited;
  if (std::find(threads.begin(), threads.end(), current_) == threads.end()) threads.push_back(current_);
  watch::meet(threads, what, orders);
}

void Cluster::report_deadlock() const {
  std::string text;
  if (blocks_.size() > 1) {
    text = "the cluster of blocks " + place(blocks_.front().index) + " to " + place(blocks_.back().index) +
           " cannot go on. ";
  }
  for (const Block& block : blocks_) {
    text += "block " + place(block.index) + (blocks_.size() > 1 ? ":" : " cannot go on:") + whereabouts(block) + " ";
  }
  throw std::runtime_error(text + (at_barrier_ > 0
                                       ? "The cluster barrier was not reached by all threads of all blocks."
                                       : "A barrier or warp operation was not reached by all its threads."));
}

void Cluster::wait_for_block() {
  Block& block = *current_->block;
  if (++block.at_barrier < block.threads.size()) return wait("__syncthreads");
  block.at_barrier = 0;
  if constexpr (watch::watched) {
    std::vector<CudaThread*> all;
    for (CudaThread& thread : block.threads) all.push_back(&thread);
    tell_of_meeting(all, "__syncthreads", true);
  }
  release_others(block);
}

void Cluster::wait_for_group(unsigned id, unsigned threads) {
  Block& block = *current_->block;
  if (id == 0 || id > most_group_barriers) {
    fail("group barrier " + std::to_string(id) + "; there are 1 to " + std::to_string(most_group_barriers));
  }
  if (threads == 0 || threads % warp_size != 0 || threads > block.threads.size()) {
    fail("a group barrier of " + std::to_string(threads) + " threads; whole warps of the block are needed");
  }
  GroupBarrier& barrier = block.groups[id - 1];
  if (!barrier.waiting.empty() && barrier.expected != threads) {
    fail("group barrier " + std::to_string(id) + " of " + std::to_string(threads) + " threads, where others wait for " +
         std::to_string(barrier.expected));
  }
  barrier.expected = threads;
  if (barrier.waiting.size() + 1 < threads) {
    barrier.waiting.push_back(current_);
    return wait("a group barrier");
  }
  tell_of_meeting(barrier.waiting, "a group barrier", true);
  for (CudaThread* thread : barrier.waiting) release(*thread);
  barrier.waiting.clear();
}

void Cluster::arrive(bool orders) {
  CudaThread& self = *current_;
  if (self.arrived) fail("it arrives at the cluster barrier a second time without having waited there");
  self.arrived = true;
  self.arrived_in = phase_;
  if (orders) watch::arrives_at_cluster();
  if (++at_barrier_ < threads_) return;
  check_exchange();
  at_barrier_ = 0;
  ++phase_;
  watch::all_arrived_at_cluster();
  for (Block& block : blocks_) {
    for (CudaThread& thread : block.threads) {
      if (thread.waits_for == cluster_barrier_name) release(thread);
    }
  }
}

void Cluster::wait_for_cluster(bool orders) {
  CudaThread& self = *current_;
  if (!self.arrived) fail("it waits at the cluster barrier without having arrived there");
  self.arrived = false;
  if (self.arrived_in == phase_) wait(cluster_barrier_name);
  if (orders) watch::leaves_cluster_barrier();
}

void Cluster::send_to(unsigned rank, std::size_t bytes) {
  blocks_[rank].bytes_sent += bytes;
  watch::sends(blocks_[rank], phase_);
}

void Cluster::expect(std::size_t bytes) {
  Block& own = *current_->block;
  own.bytes_expected = bytes;
  watch::sends(own, phase_);
}

/// All of a round is sent when all have arrived.
void Cluster::check_exchange() {
  for (Block& block : blocks_) {
    if (block.bytes_sent != block.bytes_expected) {
      fail("block " + place(block.index) + " is told that it receives " + std::to_string(block.bytes_expected) +
           " bytes, and " + std::to_string(block.bytes_sent) + " are sent to it; a GPU would wait for ever");
    }
    block.bytes_sent = block.bytes_expected = 0;
  }
}

bool Cluster::in_shared_memory(const void* place, std::size_t bytes) const {
  const Block& own = *current_->block;
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(place) - reinterpret_cast<std::uintptr_t>(own.shared);
  return offset <= own.shared_bytes && bytes <= own.shared_bytes - offset;
}

void Cluster::receive() { watch::receives(current_->arrived_in); }

const std::uint64_t* Cluster::exchange(unsigned mask, std::uint64_t value, const char* kind) {
  CudaThread& self = *current_;
  std::vector<CudaThread>& threads = self.block->threads;
  Warp& warp = self.block->warps[self.number / warp_size];
  const unsigned first = self.number / warp_size * warp_size;
  const unsigned lane = self.number % warp_size;
  const std::size_t lanes = std::min<std::size_t>(warp_size, threads.size() - first);
  const unsigned present = lanes == warp_size ? 0xffffffffU : (1U << lanes) - 1;
  if ((mask & (1U << lane)) == 0) fail(std::string(kind) + " with a mask that leaves out the calling lane");
  if (warp.arrived != 0 && warp.kind != kind && std::strcmp(warp.kind, kind) != 0) {
    fail(std::string(kind) + " while other lanes of the warp wait in " + warp.kind);
  }
  const unsigned parity = warp.parity;
  warp.kind = kind;
  warp.slots[parity][lane] = value;
  warp.arrived |= 1U << lane;
  if (warp.arrived != (mask & present)) {
    wait(kind);
  } else {
    warp.arrived = 0;
    warp.parity ^= 1U;
    if constexpr (watch::watched) {
      std::vector<CudaThread*> all;
      for (unsigned other = 0; other < lanes; ++other) {
        if ((mask & (1U << other)) != 0) all.push_back(&threads[first + other]);
      }
      tell_of_meeting(all, kind, std::strcmp(kind, "__syncwarp") == 0);
    }
    for (unsigned other = 0; other < lanes; ++other) {
      if (other != lane && (mask & (1U << other)) != 0) release(threads[first + other]);
    }
  }
  return warp.slots[parity];
}

void* Cluster::shared_of(void* mine, unsigned rank) {
  const Block& own = *current_->block;
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(mine) - reinterpret_cast<std::uintptr_t>(own.shared);
  if (offset > own.shared_bytes) fail("shared_of_block of an address that is not in the block's shared memory");
  if (rank >= blocks_.size()) {
    fail("shared_of_block of block " + std::to_string(rank) + " of a cluster of " + std::to_string(blocks_.size()));
  }
  const Block& other = blocks_[rank];
  if (other.ended()) fail("shared_of_block of block " + place(other.index) + ", whose threads have all ended");
  return other.shared + offset;
}

}  // namespace normquant::host_exec
