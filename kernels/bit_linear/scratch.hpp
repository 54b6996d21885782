// Scratch memory cut into pieces, and the layer's inner operations with theirs.
#pragma once

#include <cstddef>
#include <cstdint>

#include <normquant/bit_linear.hpp>

namespace normquant {

/// Hands out pieces that are aligned to 256 bytes. Without memory it only measures: the pieces then have addresses that
/// nobody may use, with the alignment that real ones will have.
class Scratch {
 public:
  static constexpr std::size_t alignment = 256;
  explicit Scratch(void* memory = nullptr)
      : memory_(memory != nullptr ? static_cast<unsigned char*>(memory) : reinterpret_cast<unsigned char*>(alignment)) {
  }

  void* take(std::size_t bytes) {
    void* piece = memory_ + used_;
    used_ += (bytes + alignment - 1) / alignment * alignment;
    return piece;
  }
  /// A matrix whose rows start at multiples of 16 bytes.
  Matrix take_matrix(DType type, std::int64_t rows, std::int64_t columns) {
    const auto per_16_bytes = static_cast<std::int64_t>(16 / size_of(type));
    const std::int64_t ld = (columns + per_16_bytes - 1) / per_16_bytes * per_16_bytes;
    return {take(static_cast<std::size_t>(rows * ld) * size_of(type)), type, ld};
  }
  std::size_t used() const { return used_; }

 private:
  unsigned char* memory_;
  std::size_t used_ = 0;
};

/// An operation of the layer: its arguments, the variant that `auto` stands for (or the row-invariant choice), its scratch.
template <class Args>
struct Step {
  Args args;
  const Variant<Args>* variant = nullptr;
  Workspace workspace;

  Step() = default;
  Step(const Args& a, const DeviceInfo& device, Scratch& scratch, bool row_invariant = false)
      : args(a), variant(&choose_variant(a, device, row_invariant)) {
    workspace.bytes = variant->workspace_bytes(*variant, a, device);
    workspace.data = scratch.take(workspace.bytes);
  }
  Status launch(const DeviceInfo& device, Stream stream) const {
    return normquant::launch(*variant, args, device, workspace, stream);
  }
};

}  // namespace normquant
