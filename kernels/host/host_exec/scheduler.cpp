// Runs a grid on the CPU: one fiber for each CUDA thread, one cluster of blocks after the other; without clusters, one
// block after the other.
//
// A fiber runs until it must wait (barrier, warp operation) or ends. Whoever arrives last releases the others. The next
// fiber is drawn at random from those that may run, of all blocks of the cluster, from a seeded generator: the same
// seed gives the same schedule. With an even seed a warp runs ahead: see Cluster.
#include <cstring>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>

#include "host/host_exec/cluster.hpp"
#include "host/host_exec/limits.hpp"

namespace normquant::host_exec {
namespace {

thread_local Cluster* cluster_of_this_os_thread = nullptr;
thread_local std::uint64_t schedule_seed = 1;
thread_local unsigned multiprocessors = 4;
constexpr std::size_t copy_bytes = 16;

/// A launch that is watched from here on to the end of its scope.
struct Watched {
  explicit Watched(const GridShape& shape) { watch::launch_begins(shape); }
  ~Watched() { watch::launch_ends(); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
};

/// The cluster that runs on this OS thread, to the end of its scope.
struct Running {
  explicit Running(Cluster& cluster) { cluster_of_this_os_thread = &cluster; }
  ~Running() { cluster_of_this_os_thread = nullptr; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

std::runtime_error mistake(const GridShape& shape, const std::string& what) {
  const std::string kernel = name_of_file(shape.file);
  return std::runtime_error(kernel.empty() ? what : kernel + ": " + what);
}

}  // namespace

void set_schedule_seed(std::uint64_t seed) { schedule_seed = seed; }
void set_multiprocessors(unsigned count) { multiprocessors = count; }
void misaligned(const void* address, std::size_t bytes) {
  const auto past = reinterpret_cast<std::uintptr_t>(address) % bytes;
  const std::string what = "misaligned address: an access of " + std::to_string(bytes) + " bytes lies " +
                           std::to_string(past) + " bytes past a multiple of " + std::to_string(bytes);
  if (cluster_of_this_os_thread == nullptr) throw std::runtime_error(what);
  cluster_of_this_os_thread->fail(what);
}
unsigned char* dynamic_shared_memory() { return cluster_of_this_os_thread->current().block->shared; }
void block_barrier() {
  watch::comes_to_block_barrier(__builtin_return_address(0));
  cluster_of_this_os_thread->wait_for_block();
}
void barrier_of_group(unsigned id, unsigned threads) { cluster_of_this_os_thread->wait_for_group(id, threads); }
void arrive_at_cluster(bool orders) { cluster_of_this_os_thread->arrive(orders); }
void wait_for_cluster(bool orders) { cluster_of_this_os_thread->wait_for_cluster(orders); }
void send_to_block(float* mine, unsigned rank, float value) {
  auto* const theirs = static_cast<float*>(shared_memory_of_block(mine, rank));
  watch::stores_for_block(theirs, sizeof value, __builtin_return_address(0));
  *theirs = value;
  cluster_of_this_os_thread->send_to(rank, sizeof value);
}
void arrive_with_sent(bool says_so, unsigned bytes) {
  if (says_so) cluster_of_this_os_thread->expect(bytes);
  arrive_at_cluster(false);
}
void receive_from_blocks() {
  wait_for_cluster(false);
  cluster_of_this_os_thread->receive();
}
void stop_this_thread(const std::string& what) { cluster_of_this_os_thread->stop_current(what); }
unsigned lane_of_this_thread() { return cluster_of_this_os_thread->current().number % warp_size; }
unsigned rank_of_this_block() { return cluster_of_this_os_thread->current().block->rank; }
unsigned blocks_of_this_cluster() { return cluster_of_this_os_thread->blocks(); }
void* shared_memory_of_block(void* mine, unsigned rank) { return cluster_of_this_os_thread->shared_of(mine, rank); }

void copy_begins(void* to_shared, const void* from_global) {
  must_be_aligned(to_shared, copy_bytes);
  must_be_aligned(from_global, copy_bytes);
  if (!cluster_of_this_os_thread->in_shared_memory(to_shared, copy_bytes)) {
    cluster_of_this_os_thread->fail("an asynchronous copy to an address that is not in the block's shared memory");
  }
  watch::copy_begins(to_shared, from_global, __builtin_return_address(0));
  std::memset(to_shared, 0xFF, copy_bytes);
}
void copy_ends(void* to_shared, const void* from_global) {
  std::memcpy(to_shared, from_global, copy_bytes);
  watch::copy_ends(to_shared);
}

const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, const char* kind) {
  return cluster_of_this_os_thread->exchange(mask, value, kind);
}

void run_grid(const GridShape& shape, const std::function<void()>& thread_body) {
  if (const std::string why = refusal_of(shape, multiprocessors); !why.empty()) throw mistake(shape, why);
  Generator generator{schedule_seed};
  const unsigned across = shape.grid.x / shape.cluster;
  const std::size_t clusters = static_cast<std::size_t>(across) * shape.grid.y * shape.grid.z;
  // Clusters in the order start, start + stride, ... (mod clusters): every one once, in an order that no kernel may
  // expect.
  std::size_t stride = 1 + generator.below(clusters);
  while (std::gcd(stride, clusters) != 1) ++stride;
  std::size_t number = generator.below(clusters);
  blockDim = shape.block;
  gridDim = shape.grid;
  const Watched watched(shape);
  for (std::size_t done = 0; done < clusters; ++done) {
    const dim3 first_block = {static_cast<unsigned>(number % across) * shape.cluster,
                              static_cast<unsigned>(number / across % shape.grid.y),
                              static_cast<unsigned>(number / across / shape.grid.y)};
    const std::uint64_t seed = (generator.next() & ~std::uint64_t{1}) | (schedule_seed & 1U);
    try {
      Cluster cluster(shape, first_block, thread_body, seed);
      const Running running(cluster);
      cluster.run();
    } catch (const std::bad_alloc&) {
      throw mistake(shape, "out of memory: the stacks and the shared memory of its threads, on the CPU");
    } catch (const std::runtime_error& error) {
      throw mistake(shape, error.what());
    }
    number = (number + stride) % clusters;
  }
}

}  // namespace normquant::host_exec
