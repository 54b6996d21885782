// Putting an L2 cache into a known state: nothing of the buffers in question is left in it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

namespace normquant::bench {

/// Device memory of 3 times the L2, which flush() writes and then reads. Afterwards the L2 holds
/// clean lines of this memory only: the kernel that follows neither hits nor pays for lines that
/// were still to be written back.
class L2Flush {
 public:
  virtual ~L2Flush() = default;
  /// Enqueues the flush; persisting lines must have been reset (see reset_persisting).
  virtual Status enqueue(Stream stream) = 0;
  /// Makes lines that an access window marked as persisting normal ones again. Waits for nothing.
  virtual Status reset_persisting() = 0;
  virtual std::size_t bytes() const = 0;
};

/// Null, with a sentence in `why`, when memory is short or the build has no CUDA.
std::unique_ptr<L2Flush> open_l2_flush(const DeviceInfo& device, std::string& why);

}  // namespace normquant::bench
