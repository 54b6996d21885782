// The state of a GPU in which a kernel that reads too early has no luck.
#pragma once

#include <memory>
#include <string>

#include <normquant/device.hpp>

namespace normquant::validate {

/// Prepares a GPU before a launch. What the kernel is to read is in no cache, so that nothing
/// arrives before it is waited for. Shared memory holds NaN bit patterns where an earlier kernel
/// would have left values.
/// The host device needs none of it: there copies arrive as late as they may, and memory that
/// nothing wrote is known (docs/host_execution.md).
class ColdStart {
 public:
  /// Takes memory of twice the L2 from the device, which outlives this object. Null with a sentence in `why` when there is
  /// not enough, or when the device is not a GPU.
  static std::unique_ptr<ColdStart> open(Device& device, std::string& why);
  ~ColdStart();
  ColdStart(const ColdStart&) = delete;
  ColdStart& operator=(const ColdStart&) = delete;

  /// Enqueues it on the default stream of the device, which is the calling thread's current one.
  Status enqueue();

 private:
  explicit ColdStart(Device& device) : device_(device) {}
  Device& device_;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace normquant::validate
