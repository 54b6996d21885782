// What a GPU of compute capability 9.0 refuses, and the host device with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "host/host_exec/cuda_on_host.hpp"

namespace normquant::host_exec {

// CUDA C++ Programming Guide, technical specifications per compute capability.
constexpr std::uint64_t most_blocks_along_x = 2147483647, most_blocks_along_y = 65535, most_blocks_along_z = 65535;
constexpr std::uint64_t most_block_threads = 1024, most_threads_along_z = 64;
constexpr std::size_t most_shared_bytes = std::size_t{227} * 1024;  ///< of a block
constexpr std::size_t multiprocessor_shared_bytes = std::size_t{228} * 1024, reserved_shared_bytes = 1024;  ///< a block
constexpr std::uint64_t multiprocessor_threads = 2048, multiprocessor_blocks = 32;

/// Why a GPU with that many multiprocessors refuses a launch of that extent: a sentence with what was asked and what there is;
/// empty when it does not.
std::string refusal_of(const GridShape& shape, unsigned multiprocessors);

/// The name of a file with the folder that it is in, for sentences: norm_quant_forward/split.cu.
std::string name_of_file(const char* path);

}  // namespace normquant::host_exec
