// What the CUDA runtime says about a GPU.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace normquant::bench {

/// Facts that no run changes.
struct GpuFacts {
  std::string name;
  std::string pci_bus_id;      ///< finds the same GPU in NVML; not for records
  std::string uuid;            ///< "GPU-...", as nvidia-smi -L shows it: tells cards of one kind apart
  int compute_capability = 0;  ///< 10 * major + minor
  int sm_count = 0;
  int memory_bus_bits = 0;
  std::size_t l2_bytes = 0;
  std::size_t memory_bytes = 0;
  bool ecc = false;
};

/// Facts of CUDA device `index`; nothing, and `why` filled, when it cannot be used or this build has no CUDA.
std::optional<GpuFacts> gpu_facts(int index, std::string& why);

/// Version of the CUDA runtime in this build as "13.0"; empty without CUDA.
std::string cuda_runtime_version();
/// Newest CUDA version that the installed driver serves; empty without a driver or without CUDA in this build.
std::string cuda_driver_version();

/// Bytes that the current GPU can still give; 0 when unknown.
std::size_t gpu_free_bytes();

}  // namespace normquant::bench
