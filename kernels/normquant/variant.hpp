// A variant: one CUDA implementation of an operation, as a row of its algorithm's table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>
#include <normquant/status.hpp>

namespace normquant {

/// The tuning constants of a variant; what each means is said in its algorithm's file.
struct Tuning {
  int threads_per_row = 0;  ///< threads that share one row (weight_quant: threads of a block)
  int rows_per_block = 1;   ///< rows that one block works on side by side
  int access_bytes = 16;    ///< widest load or store of x; elements of other types follow the same columns
  int elements = 0;         ///< of a row, kept by one thread, where that decides the number of threads
  int lanes = 0;            ///< neighbouring threads that share a tile of a row: a warp, or fewer for short rows
  int cluster = 1;          ///< blocks that share one row
  int stages = 1;           ///< rows that a block has under way at a time
};

/// One implementation. `Args` is the operation's argument struct (NormQuantForward, ...).
/// The functions take the row itself so that one set serves every row of a table.
template <class Args>
struct Variant {
  std::string_view name = {};     ///< stable; [a-z0-9_]+
  std::string_view summary = {};  ///< one line for `normquant list`
  Tuning tuning = {};
  bool deterministic = true;  ///< the same bits from run to run
  /// Why this variant does not serve the problem, as a sentence; empty when it does.
  std::string (*why_not)(const Variant&, const Args&, const DeviceInfo&) = nullptr;
  /// Bytes of scratch memory that launch needs, 256-byte aligned, contents arbitrary.
  std::size_t (*workspace_bytes)(const Variant&, const Args&, const DeviceInfo&) = nullptr;
  /// Bytes the variant asks of global memory, every re-read counted (compare: algorithmic_bytes of the operation).
  std::int64_t (*requested_bytes)(const Variant&, const Args&, const DeviceInfo&) = nullptr;
  /// Enqueues the kernels on `stream`. No allocation, no synchronisation; capturable in a CUDA graph.
  Status (*launch)(const Variant&, const Args&, const DeviceInfo&, void* workspace, Stream stream) = nullptr;
  /// What the device, or this build for it, lacks for the variant whatever the problem, as a sentence; empty when nothing.
  /// Null: every device has what it takes. why_not says the same where it is not empty.
  std::string (*device_lacks)(const Variant&, const DeviceInfo&) = nullptr;
  /// A row's outputs keep their bits whatever M is, wherever the row stands, whoever its neighbours are, and whatever strides and
  /// alignment that the variant serves the tensors have. Sums over rows (dweight, dbias) are no row's outputs. docs/row_invariance.md.
  bool row_invariant = false;
  /// The variant that gives every row the same bits, wherever both serve: a choice for every M may take either. Empty: none.
  std::string_view row_bits_of = {};
};

/// Scratch memory handed to a launch by the caller.
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// Every operation is used the same way, for Args in {NormQuantForward, NormQuantBackward, ActivationQuant, WeightQuant}.

/// All variants of the operation on devices of that kind, simplest first. Aborts at start-up on a duplicate name.
template <class Args>
const std::vector<Variant<Args>>& variants(DeviceKind kind);

/// Checks the arguments against the operation's contract; the message names the argument.
template <class Args>
Status check_arguments(const Args& args);

/// Bytes that any implementation must move: each input read once, each output written once.
template <class Args>
std::int64_t algorithmic_bytes(const Args& args);

/// The variant that `auto` stands for: a pure function of problem and device. Never null for valid arguments.
template <class Args>
const Variant<Args>& choose_variant(const Args& args, const DeviceInfo& device);

/// The same where `row_invariant` is false. Where it is true: by everything but M (docs/choice.md), so that a row has the same bits
/// for every M up to 2^24: the same variant throughout, or one of several whose rows have the same bits (row_bits_of). Where none
/// serves the problem the plain choice comes back, and its row_invariant is false: so for weight_quant, whose scale is that of all rows.
template <class Args>
const Variant<Args>& choose_variant(const Args& args, const DeviceInfo& device, bool row_invariant);

/// Checks the arguments, the variant's support and the workspace, then launches. M = 0 succeeds and writes only the
/// sums over no rows (dweight and dbias are zeros).
template <class Args>
Status launch(const Variant<Args>& variant, const Args& args, const DeviceInfo& device, Workspace workspace,
              Stream stream);

}  // namespace normquant
