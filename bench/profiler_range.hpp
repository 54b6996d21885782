// A named range on the timeline of NVIDIA's profilers (NVTX); nothing in a build without CUDA.
#pragma once

#include <string>

namespace normquant::bench {

/// Lasts from construction to destruction.
class ProfilerRange {
 public:
  explicit ProfilerRange(const std::string& name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

}  // namespace normquant::bench
