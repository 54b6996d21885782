// Small kernels of which it is known what is wrong with each, and correct ones that look like them: what a detector of races
// must find, and must not. docs/races.md lists them with what compute-sanitizer says.
#pragma once

#include <string_view>
#include <vector>

#include <normquant/device.hpp>
#include <normquant/status.hpp>

namespace normquant {

/// Memory of a control's kernels: `in` is written, `out` is not, `counters` are zeros.
struct ControlMemory {
  static constexpr int count = 4096;  ///< elements of in and of out
  static constexpr int counts = 64;   ///< elements of counters
  const float* in = nullptr;
  float* out = nullptr;
  unsigned* counters = nullptr;
};

struct Control {
  std::string_view name;
  /// The word with which the finding begins: race, unwritten, out of bounds, misaligned, copy under way or barrier; `deadlock`:
  /// the launch breaks, and says what was not reached. Empty: the kernel is correct.
  std::string_view mistake;
  Status (*run)(const ControlMemory& memory, Stream stream);
};

namespace host {
std::vector<Control> controls_in_shared_memory();
std::vector<Control> controls_in_global_memory();
std::vector<Control> controls_of_clusters();
std::vector<Control> controls_of_accesses();
}  // namespace host
namespace cuda {
std::vector<Control> controls_in_shared_memory();
std::vector<Control> controls_in_global_memory();
std::vector<Control> controls_of_clusters();
std::vector<Control> controls_of_accesses();
}  // namespace cuda

}  // namespace normquant
