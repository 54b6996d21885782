// The host device: plain memory, kernels run by host_exec.
#include <normquant/device.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "host/host_exec/cuda_on_host.hpp"
#include "host/host_exec/limits.hpp"
#include "host/watch/events.hpp"

namespace normquant {

namespace watch = host_exec::watch;

namespace {

class HostDevice final : public Device {
 public:
  HostDevice(std::uint64_t schedule_seed, int sm_count) : schedule_seed_(schedule_seed) {
    info_.kind = DeviceKind::host;
    info_.name = "host";
    info_.sm_count = sm_count;
    info_.shared_memory_per_block =
        host_exec::most_shared_bytes;  // so the same kernels serve the same problems as on an H100
    info_.max_cluster_blocks = static_cast<int>(host_exec::most_cluster_blocks);
    for (int i = 0, blocks = 2; blocks <= info_.max_cluster_blocks; blocks *= 2, ++i) {
      info_.resident_clusters[i] = sm_count > blocks ? sm_count / blocks : 1;
    }
    choose();
  }

  const DeviceInfo& info() const override { return info_; }
  void* allocate(std::size_t bytes, std::string& why) override {
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, std::max<std::size_t>(bytes + 2 * watch::zone_bytes, 1)) == 0) {
      void* const usable = static_cast<unsigned char*>(memory) + watch::zone_bytes;
      watch::memory_is_allocated(usable, bytes);
      return usable;
    }
    why = "out of memory: " + std::to_string(bytes) + " bytes asked of the host";
    return nullptr;
  }
  void release(void* memory) override {
    watch::memory_is_released(memory);
    std::free(static_cast<unsigned char*>(memory) - watch::zone_bytes);
  }
  Status copy_to_device(void* to, const void* from, std::size_t bytes) override {
    watch::is_written(to, bytes);
    return copy(to, from, bytes);
  }
  Status copy_to_host(void* to, const void* from, std::size_t bytes) override { return copy(to, from, bytes); }
  Status fill_bytes(void* memory, unsigned char value, std::size_t bytes) override {
    std::memset(memory, value, bytes);
    watch::is_written(memory, bytes);
    return {};
  }
  Status poison_bytes(void* memory, unsigned char value, std::size_t bytes) override {
    std::memset(memory, value, bytes);
    watch::is_lost(memory, bytes);
    return {};
  }
  Status synchronize() override { return {}; }
  Status make_current() override {
    choose();
    return {};
  }
  bool watches() const override { return watch::watched; }
  std::vector<std::string> take_findings() override { return watch::take_findings(); }

 private:
  /// For the launches of the calling thread.
  void choose() const {
    host_exec::set_schedule_seed(schedule_seed_);
    host_exec::set_multiprocessors(static_cast<unsigned>(info_.sm_count));
  }
  static Status copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);  // of nothing both may be null
    return {};
  }

  DeviceInfo info_;
  std::uint64_t schedule_seed_;
};

}  // namespace

std::unique_ptr<Device> open_host_device(std::uint64_t schedule_seed, int sm_count) {
  return std::make_unique<HostDevice>(schedule_seed, sm_count);
}

}  // namespace normquant
