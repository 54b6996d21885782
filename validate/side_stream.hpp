// A stream beside the one that problems are checked on.
#pragma once

#include <memory>
#include <string>

#include <normquant/device.hpp>

namespace normquant::validate {

/// Owns a stream of the current CUDA device that does not wait for the default stream. On the host
/// there are no streams: launches through it come first.
class SideStream {
 public:
  /// Null with a sentence in `why` when CUDA cannot make one.
  static std::unique_ptr<SideStream> open(DeviceKind kind, std::string& why);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
  Stream get() const { return stream_; }

 private:
  explicit SideStream(Stream stream) : stream_(stream) {}
  Stream stream_;
};

}  // namespace normquant::validate
