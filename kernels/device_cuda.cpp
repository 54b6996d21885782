// CUDA devices through the runtime API; without a CUDA Toolkit there are none.
#include <normquant/device.hpp>

#if defined(NORMQUANT_WITH_CUDA)
#include <cuda_runtime.h>

#include <cstdint>

namespace normquant {
namespace cuda {
int resident_clusters(int blocks, std::size_t shared_bytes);  // resident_clusters.cu
}
namespace {

Status status_of(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  return Status::infrastructure(std::string(what) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error));
}

/// Blocks of the largest cluster by compute capability: 8 on every GPU that has clusters, 16 on the data centre's when a
/// kernel allows itself sizes that are not portable, as launch_kernel does.
int largest_cluster(int major) {
  if (major < 9) return 1;
  return major <= 10 ? 16 : 8;
}

/// Lets the pool keep `most_kept` bytes of what was released; without it all goes back at every synchronisation. Whether
/// the device has a pool.
bool keep_in_pool(int index) {
  std::uint64_t most_kept = std::uint64_t{1} << 30;
  cudaMemPool_t pool = nullptr;
  const bool kept = cudaDeviceGetDefaultMemPool(&pool, index) == cudaSuccess &&
                    cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &most_kept) == cudaSuccess;
  if (!kept) (void)cudaGetLastError();
  return kept;
}

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, const cudaDeviceProp& properties, DeviceMemory memory)
      : index_(index), pooled_(memory == DeviceMemory::pooled && keep_in_pool(index)) {
    info_.kind = DeviceKind::cuda;
    info_.name = properties.name;
    info_.compute_capability = 10 * properties.major + properties.minor;
    info_.sm_count = properties.multiProcessorCount;
    info_.shared_memory_per_block = properties.sharedMemPerBlockOptin;
    info_.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
    info_.max_cluster_blocks = largest_cluster(properties.major);
    for (int blocks = 2, i = 0; blocks <= info_.max_cluster_blocks; blocks *= 2, ++i) {
      info_.resident_clusters[i] = cuda::resident_clusters(blocks, info_.shared_memory_per_block);
    }
  }

  const DeviceInfo& info() const override { return info_; }
  void* allocate(std::size_t bytes, std::string& why) override {
    void* memory = nullptr;
    const std::size_t some = bytes == 0 ? 1 : bytes;
    const cudaError_t error = pooled_ ? cudaMallocAsync(&memory, some, nullptr) : cudaMalloc(&memory, some);
    if (error == cudaSuccess) return memory;
    (void)cudaGetLastError();  // a failed allocation must not be taken for a later launch's failure
    why = (error == cudaErrorMemoryAllocation ? "out of memory: " : "") + std::to_string(bytes) + " bytes asked of " +
          info_.name + ": " + cudaGetErrorString(error);
    return nullptr;
  }
  void release(void* memory) override { (void)(pooled_ ? cudaFreeAsync(memory, nullptr) : cudaFree(memory)); }
  Status copy_to_device(void* to, const void* from, std::size_t bytes) override {
    return status_of(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy to the device");
  }
  Status copy_to_host(void* to, const void* from, std::size_t bytes) override {
    return status_of(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy from the device");
  }
  Status fill_bytes(void* memory, unsigned char value, std::size_t bytes) override {
    return status_of(cudaMemset(memory, value, bytes), "filling device memory");
  }
  Status synchronize() override {
    if (Status status = status_of(cudaDeviceSynchronize(), "waiting for the device"); !status.ok()) return status;
    return status_of(cudaGetLastError(), "an earlier CUDA call");
  }
  Status make_current() override { return status_of(cudaSetDevice(index_), "selecting the device"); }

 private:
  int index_;
  bool pooled_;
  DeviceInfo info_;
};

}  // namespace

bool built_with_cuda() { return true; }

int cuda_device_count(std::string& why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  int driver = 0;
  (void)cudaGetLastError();
  // Without a driver the runtime speaks of one that is too old.
  const bool no_driver = cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0;
  why = no_driver              ? "there is no NVIDIA driver here"
        : error == cudaSuccess ? "the NVIDIA driver reports no device"
                               : cudaGetErrorString(error);
  return 0;
}

std::unique_ptr<Device> open_cuda_device(int index, std::string& why, DeviceMemory memory) {
  const int count = cuda_device_count(why);
  if (count == 0) return nullptr;
  if (index < 0 || index >= count) {
    why = "there is no CUDA device " + std::to_string(index) + "; there are " + std::to_string(count);
    return nullptr;
  }
  cudaDeviceProp properties{};
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) {
    why = cudaGetErrorString(error);
    return nullptr;
  }
  return std::make_unique<CudaDevice>(index, properties, memory);
}

}  // namespace normquant

#else

namespace normquant {

bool built_with_cuda() { return false; }
int cuda_device_count(std::string& why) {
  why = "this build has no CUDA kernels (no CUDA Toolkit was found when it was configured)";
  return 0;
}
std::unique_ptr<Device> open_cuda_device(int, std::string& why, DeviceMemory) {
  cuda_device_count(why);
  return nullptr;
}

}  // namespace normquant

#endif
