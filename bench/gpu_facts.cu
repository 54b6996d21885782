#include <cuda_runtime.h>

#include <normquant/device.hpp>

#include "bench/gpu_facts.hpp"
#include "validate/card.hpp"

namespace normquant::bench {
namespace {

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, index) == cudaSuccess ? value : 0;
}

/// CUDA writes 13.0 as 13000.
std::string version_text(int version) {
  if (version <= 0) return {};
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::optional<GpuFacts> gpu_facts(int index, std::string& why) {
  if (cuda_device_count(why) == 0) return std::nullopt;
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    why = std::string("CUDA answered: ") + cudaGetErrorString(error);
    (void)cudaGetLastError();  // not left for the next call to find
    return std::nullopt;
  }
  GpuFacts facts;
  facts.name = properties.name;
  facts.uuid = validate::uuid_of_gpu(index);
  char bus_id[32] = {};
  if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index) == cudaSuccess) facts.pci_bus_id = bus_id;
  facts.compute_capability = 10 * properties.major + properties.minor;
  facts.sm_count = properties.multiProcessorCount;
  facts.memory_bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth, index);
  facts.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  facts.memory_bytes = properties.totalGlobalMem;
  facts.ecc = attribute(cudaDevAttrEccEnabled, index) != 0;
  return facts;
}

std::string cuda_runtime_version() { return version_text(CUDART_VERSION); }

std::string cuda_driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version_text(version) : std::string();
}

std::size_t gpu_free_bytes() {
  std::size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
}

}  // namespace normquant::bench
