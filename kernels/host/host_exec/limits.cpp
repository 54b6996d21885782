#include "host/host_exec/limits.hpp"

#include <algorithm>
#include <string_view>

namespace normquant::host_exec {
namespace {

std::string text_of(const dim3& extent) {
  return std::to_string(extent.x) + "x" + std::to_string(extent.y) + "x" + std::to_string(extent.z);
}
std::string beyond(const std::string& what, std::uint64_t asked, std::uint64_t most) {
  return what + " " + std::to_string(asked) + "; there are " + std::to_string(most) + " at most";
}

std::string refused_grid(const dim3& grid) {
  const std::string name = "the grid of " + text_of(grid) + " blocks";
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return name + " is empty; a launch needs a block";
  if (grid.x > most_blocks_along_x) return name + " has " + beyond("along x", grid.x, most_blocks_along_x);
  if (grid.y > most_blocks_along_y) return name + " has " + beyond("along y", grid.y, most_blocks_along_y);
  if (grid.z > most_blocks_along_z) return name + " has " + beyond("along z", grid.z, most_blocks_along_z);
  return {};
}

std::string refused_block(const dim3& block) {
  const std::string name = "the block of " + text_of(block) + " threads";
  if (block.x == 0 || block.y == 0 || block.z == 0) return name + " is empty; a launch needs a thread";
  const std::uint64_t plane = std::uint64_t{block.x} * block.y;  // 64 bits hold it, and with z <= 64 the product
  if (block.z > most_threads_along_z) return name + " has " + beyond("along z", block.z, most_threads_along_z);
  if (plane > most_block_threads || plane * block.z > most_block_threads) {
    return name + " is too large; there are " + std::to_string(most_block_threads) + " threads at most";
  }
  return {};
}

std::string refused_cluster(const GridShape& shape) {
  if (shape.cluster == 0 || shape.cluster > most_cluster_blocks) {
    return "a cluster has 1 to " + std::to_string(most_cluster_blocks) + " blocks, not " +
           std::to_string(shape.cluster);
  }
  if (shape.grid.x % shape.cluster == 0) return {};
  return "the grid's " + std::to_string(shape.grid.x) + " blocks along x are no multiple of the cluster's " +
         std::to_string(shape.cluster);
}

/// All blocks of a cooperative grid run at the same time.
std::string refused_together(const GridShape& shape, unsigned multiprocessors) {
  const std::uint64_t threads = std::uint64_t{shape.block.x} * shape.block.y * shape.block.z;
  const std::uint64_t held =
      std::min({multiprocessor_threads / threads, multiprocessor_blocks,
                std::uint64_t{multiprocessor_shared_bytes / (shape.shared_bytes + reserved_shared_bytes)}});
  const std::uint64_t blocks = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  if (blocks <= held * multiprocessors) return {};
  return "the cooperative grid has " + std::to_string(blocks) + " blocks, and " + std::to_string(multiprocessors) +
         " multiprocessors hold " + std::to_string(held * multiprocessors) + " of them at the same time";
}

}  // namespace

std::string refusal_of(const GridShape& shape, unsigned multiprocessors) {
  if (std::string why = refused_grid(shape.grid); !why.empty()) return why;
  if (std::string why = refused_block(shape.block); !why.empty()) return why;
  if (shape.shared_bytes > most_shared_bytes) {
    return "the block asks for " + std::to_string(shape.shared_bytes) + " bytes of shared memory; there are " +
           std::to_string(most_shared_bytes) + " at most";
  }
  return shape.cooperative ? refused_together(shape, multiprocessors) : refused_cluster(shape);
}

std::string name_of_file(const char* path) {
  std::string_view name = path;
  const std::size_t folder = name.substr(0, name.find_last_of('/')).find_last_of('/');
  return std::string(folder == std::string_view::npos ? name : name.substr(folder + 1));
}

}  // namespace normquant::host_exec
