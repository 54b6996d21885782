// A device and a timer that tests of limits invent. No GPU.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>
#include <normquant/device.hpp>

#include "bench/timer.hpp"

namespace normquant::bench {

/// A device that hands out host memory, at most `capacity` bytes at once.
class InventedDevice final : public Device {
 public:
  explicit InventedDevice(std::size_t capacity) : capacity_(capacity) { info_.l2_bytes = 1 << 20; }
  const DeviceInfo& info() const override { return info_; }
  void* allocate(std::size_t bytes, std::string& why) override {
    if (bytes <= capacity_) return std::malloc(bytes);
    why = "out of memory";
    return nullptr;
  }
  void release(void* memory) override {
    std::free(memory);
    ++released;
  }
  Status copy_to_device(void*, const void*, std::size_t) override { return {}; }
  Status copy_to_host(void*, const void*, std::size_t) override { return {}; }
  Status fill_bytes(void*, unsigned char, std::size_t) override { return {}; }
  Status synchronize() override { return {}; }
  Status make_current() override { return {}; }
  int released = 0;

 private:
  DeviceInfo info_;
  std::size_t capacity_;
};

/// Free memory, as limits ask for it.
inline std::size_t plenty() { return std::size_t{1} << 30; }

/// Way 1 is the fastest.
class InventedTimer final : public Timer {
 public:
  /// `last_way`: of the launch that was enqueued last, 0 to 2.
  explicit InventedTimer(const int& last_way) : last_way_(last_way) {}
  std::string_view time_kind() const override { return "steady"; }
  Status prepare(const Enqueue& enqueue, const LaunchPlan& plan) override {
    for (int slot = 0; slot < plan.slots; ++slot) {
      if (Status status = enqueue(slot, nullptr); !status.ok()) return status;
    }
    return {};
  }
  Status measure(int count, std::vector<double>& microseconds) override {
    const double times[] = {5.0, 3.0, 4.0};
    microseconds.insert(microseconds.end(), static_cast<std::size_t>(count), times[last_way_]);
    return {};
  }
  Status run_once() override { return {}; }
  int launches_per_sample() const override { return 1; }

 private:
  const int& last_way_;
};

}  // namespace normquant::bench
