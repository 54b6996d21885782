// Sees which kernels this program launches, and how.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace normquant::gate {

/// A launch by launch_kernel (kernels/device/platform.cuh).
struct SeenLaunch {
  std::string kernel;  ///< mangled; empty when this CUDA Toolkit cannot say it (before 12.3)
  std::array<unsigned, 3> grid = {}, block = {};
  std::size_t shared_bytes = 0;
  std::string attributes;  ///< bytes of cluster, cooperative, overlap as given to CUDA; `4:2.1.1`
};

/// The launches that `work` makes on this thread. The program is linked with --wrap=cudaLaunchKernelExC, by which all of its
/// own kernels are launched, so that every call comes by here; those of cuBLASLt, which is another library, do not.
/// Empty in a build without CUDA.
template <class Work>
std::vector<SeenLaunch> launches_of(const Work& work);

/// Where launches go while somebody looks; null: nowhere.
std::vector<SeenLaunch>*& launches_seen();

template <class Work>
std::vector<SeenLaunch> launches_of(const Work& work) {
  std::vector<SeenLaunch> seen;
  launches_seen() = &seen;
  work();
  launches_seen() = nullptr;
  return seen;
}

}  // namespace normquant::gate
