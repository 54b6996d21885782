// Where a call runs: the device of its tensors, torch's current stream there, scratch from torch's allocator.
#pragma once

#include <memory>
#include <string>

#include <torch/csrc/stable/accelerator.h>

#include <normquant/bit_linear.hpp>
#include <normquant/variant.hpp>

#include "tensors.hpp"

namespace normquant::torch_ops {

/// Makes the tensors' device the thread's current one for as long as it lives. Refuses where there is no kernel for it.
class Place {
 public:
  explicit Place(const Arguments& arguments);
  const DeviceInfo& info() const { return *info_; }
  Stream stream() const { return stream_; }
  /// The device's matrix products; refuses where it has none.
  MatrixProducts* products() const;

 private:
  const Arguments& arguments_;
  const DeviceInfo* info_ = nullptr;
  Stream stream_ = nullptr;
  std::optional<torch::stable::accelerator::DeviceGuard> guard_;
};

/// Python's exception of a status that is not ok.
void check(const Status& status);

/// Scratch from torch, at a multiple of 256 bytes, as long as this lives.
class ScratchMemory {
 public:
  ScratchMemory(const Arguments& arguments, std::size_t bytes) {
    if (bytes == 0) return;
    constexpr std::size_t alignment = 256;
    memory_ = arguments.empty({static_cast<std::int64_t>(bytes + alignment)}, ScalarType::Byte);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_->mutable_data_ptr());
    workspace_ = {reinterpret_cast<void*>((address + alignment - 1) / alignment * alignment), bytes};
  }
  const Workspace& workspace() const { return workspace_; }

 private:
  OptionalTensor memory_;
  Workspace workspace_;
};

/// Launches a variant that was chosen for these very arguments, which were checked: launch() would do both again.
template <class Args>
void launch_checked(const Variant<Args>& variant, const Args& args, const Workspace& workspace, const Place& place) {
  check(args.rows == 0 ? normquant::launch(variant, args, place.info(), workspace, place.stream())
                       : variant.launch(variant, args, place.info(), workspace.data, place.stream()));
}

/// The checks, the library's choice, and the launch.
template <class Args>
void launch_chosen(const Args& args, const Arguments& arguments, const Place& place, bool row_invariant = false) {
  check(check_arguments(args));
  const Variant<Args>& variant = choose_variant(args, place.info(), row_invariant);
  const std::size_t bytes = variant.workspace_bytes(variant, args, place.info());
  launch_checked(variant, args, ScratchMemory(arguments, bytes).workspace(), place);
}

}  // namespace normquant::torch_ops
