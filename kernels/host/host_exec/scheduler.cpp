// Runs a grid on the CPU: one fiber for each CUDA thread, one cluster of blocks after the other; without clusters, one
// block after the other.
//
// A fiber runs until it must wait (barrier, warp operation) or ends. Whoever arrives last releases the others. The next
// fiber is drawn at random from those that may run, of all blocks of the cluster, from a seeded generator: the same
// seed gives the same schedule. With an even seed a warp runs ahead: see Cluster.
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

#include "host/host_exec/cluster.hpp"

namespace normquant::host_exec {
namespace {

thread_local Cluster* cluster_of_this_os_thread = nullptr;
thread_local std::uint64_t schedule_seed = 1;
constexpr std::size_t copy_bytes = 16;

/// A launch that is watched from here on to the end of its scope.
struct Watched {
  explicit Watched(const GridShape& shape) { watch::launch_begins(shape); }
  ~Watched() { watch::launch_ends(); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
};

void check_clusters(const GridShape& shape) {
  const std::string cluster = std::to_string(shape.cluster);
  if (shape.cluster == 0 || (shape.cluster > most_cluster_blocks && !shape.cooperative)) {
    throw std::runtime_error("a cluster has 1 to " + std::to_string(most_cluster_blocks) + " blocks, not " + cluster);
  }
  if (shape.grid.x % shape.cluster != 0) {
    throw std::runtime_error("the grid's " + std::to_string(shape.grid.x) +
                             " blocks along x are no multiple of the cluster's " + cluster);
  }
}

}  // namespace

void set_schedule_seed(std::uint64_t seed) { schedule_seed = seed; }
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
  cluster_of_this_os_thread->send_to(rank);
}
void arrive_with_sent(bool says_so) {
  if (says_so) cluster_of_this_os_thread->send_to(rank_of_this_block());
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
  check_clusters(shape);
  Generator generator{schedule_seed};
  const unsigned across = shape.grid.x / shape.cluster;
  const std::size_t clusters = static_cast<std::size_t>(across) * shape.grid.y * shape.grid.z;
  if (clusters == 0 || size_of(shape.block) == 0) return;
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
    Cluster cluster(shape, first_block, thread_body, seed);
    cluster_of_this_os_thread = &cluster;
    cluster.run();
    number = (number + stride) % clusters;
  }
}

}  // namespace normquant::host_exec
