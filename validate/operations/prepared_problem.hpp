// A problem on a device: its tensors filled, its reference at hand, ready to be launched, checked and timed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>
#include <normquant/status.hpp>
#include <normquant/variant.hpp>

#include "kernels/choice/point.hpp"
#include "validate/poison.hpp"
#include "validate/problem.hpp"
#include "validate/verdict.hpp"

namespace normquant::validate {

/// One row of `normquant list`: a variant without its function pointers.
struct VariantEntry {
  Operation op;
  std::string_view name;
  std::string_view summary;
  bool deterministic, row_invariant;
  int threads_per_row, rows_per_block, access_bytes;
  Tuning tuning;
};

/// The variants of an operation on devices of that kind, in table order; then those of plugins.
std::vector<VariantEntry> catalogue(Operation op, DeviceKind kind);

/// A variant of a problem's operation, looked up once; `auto` is resolved then. Good for copies of the problem too, and as long
/// as the program.
class VariantHandle {
 public:
  VariantHandle() = default;  ///< of no variant
  template <class Args>
  explicit VariantHandle(const Variant<Args>& row)
      : row_(&row),
        name_(row.name),
        row_bits_of_(row.row_bits_of),
        deterministic_(row.deterministic),
        row_invariant_(row.row_invariant) {}

  explicit operator bool() const { return row_ != nullptr; }
  std::string_view name() const { return name_; }
  /// Whether it promises the same bits from run to run.
  bool deterministic() const { return deterministic_; }
  /// Whether it promises that a row keeps its bits whatever M is; and the variant whose rows have the same, where it names one.
  bool row_invariant() const { return row_invariant_; }
  std::string_view row_bits_of() const { return row_bits_of_; }
  /// `Args` is the operation's.
  template <class Args>
  const Variant<Args>& row() const {
    return *static_cast<const Variant<Args>*>(row_);
  }

 private:
  const void* row_ = nullptr;
  std::string_view name_, row_bits_of_;
  bool deterministic_ = false, row_invariant_ = false;
};

/// What a launch wrote of one row: `columns` elements side by side.
struct RowOutput {
  std::string_view tensor;
  std::int64_t row = 0, columns = 0;
  std::size_t element_bytes = 0;
  const unsigned char* bytes = nullptr;
};

/// What a launch moves of one matrix: all of it, once.
struct MovedMatrix {
  std::int64_t bytes = 0;
  bool written = false;                                  ///< else read
  auto operator<=>(const MovedMatrix&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 sees a 0 here
};

/// See prepare(). Not thread-safe; several may live side by side.
class PreparedProblem {
 public:
  virtual ~PreparedProblem() = default;
  virtual const Problem& problem() const = 0;
  virtual std::int64_t algorithmic_bytes() const = 0;
  /// The tensors of more than one row, inputs first. Vectors and values a row are left out, and so is padding.
  virtual std::vector<MovedMatrix> matrices() const = 0;
  /// Where tuned tables see it.
  virtual choice::Point point() const = 0;
  /// The variant of that name, or the one that `auto` or `invariant` (the row-invariant choice) stands for here; none when there is
  /// no such variant.
  virtual VariantHandle find(std::string_view name) const = 0;
  /// Why the variant does not serve this problem; empty when it does.
  virtual std::string why_not(VariantHandle variant) const = 0;
  /// What the device lacks for the variant whatever the problem; empty when nothing.
  virtual std::string device_lacks(VariantHandle variant) const = 0;
  virtual std::int64_t requested_bytes(VariantHandle variant) const = 0;
  /// Allocates what the variant needs as scratch. Call before the launches that are timed or captured.
  virtual Status reserve(VariantHandle variant) = 0;
  /// Enqueues the variant once on `stream`; no allocation, no synchronisation.
  virtual Status launch(VariantHandle variant, Stream stream) = 0;
  /// Fills every output and the scratch memory with a pattern.
  virtual Status poison_outputs(Poison poison = Poison::first) = 0;
  /// Compares the outputs, guard bands, poison between rows and unchanged inputs with the reference. Synchronises.
  /// Where Verdict::like_poison is not 0 the verdict is for now only: check_what_was_launched decides it.
  virtual Verdict check() = 0;
  // What a timer needs that changes values and outputs between launches. `other`, `inputs` and `outputs` are of the same
  // operation, shape and types, with other values, and serve the same variant by reserve().

  /// Overwrites the inputs with the values that `other` was prepared with.
  virtual Status take_values(const PreparedProblem& other) = 0;
  /// Overwrites the inputs with values that nobody has seen and nobody knows the truth of: its own, of other signs.
  virtual Status disturb_values(std::uint64_t seed) = 0;
  /// launch(), into the outputs of `other`.
  virtual Status launch_into(PreparedProblem& other, VariantHandle variant, Stream stream) = 0;
  /// check(), where the inputs hold the values of `inputs`, and the outputs were computed from those of `outputs`.
  virtual Verdict check_against(const PreparedProblem& inputs, const PreparedProblem& outputs) = 0;
  /// The host device: an element of an output that still holds the poison, among some drawn with `seed`; empty when none
  /// does. Quick, to be asked right after a launch. For finite inputs.
  virtual std::string unwritten_element(std::uint64_t seed) const = 0;
  /// Appends the bytes of one element of an output, drawn with `seed`. Quick on any device, to be asked before and after
  /// a wait: a kernel that was still at work changes it.
  virtual Status read_element(std::uint64_t seed, std::vector<unsigned char>& bytes) const = 0;

  /// Calls `look` for every row of every output that has rows as the problem has, and for values of rows (rstd) one by one. Sums over
  /// rows and quantised weights are left out.
  virtual Status visit_rows(const std::function<void(const RowOutput&)>& look) = 0;
  /// Whether from now on launches keep a row's bits where that is a switch of the operation: the layer's.
  virtual void ask_for_row_invariance(bool /*wanted*/) {}

  /// A hash over the bits of all outputs; `why` is filled when they cannot be read, `damage` when something beside them was
  /// written.
  virtual std::uint64_t digest(std::string& why, std::string& damage) = 0;
  /// Where a problem has guard pages: how they were touched since the last call, a sentence a tensor.
  virtual std::vector<std::string> take_findings() = 0;
  /// The same inputs in fresh buffers of their own (for rotation past a cache), sharing the reference.
  virtual std::unique_ptr<PreparedProblem> copy(std::string& why) const = 0;
};

/// The verdict on outputs that `launch` wrote over the first poison: where some hold its bits, `launch` runs once more over the
/// second, and what holds both was never written.
Verdict check_what_was_launched(PreparedProblem& prepared, const std::function<Status()>& launch);

/// Generates the inputs, uploads them and lays out the outputs. Null with a sentence in `why` when memory runs out
/// (why starts with "out of memory") or the problem breaks the operation's contract.
/// Rows repeat with a period of `distinct_rows` (0: none repeat), so that large problems are checked completely by a
/// reference of a few rows: every row must equal its first occurrence bit for bit. repetition.hpp has the period to
/// use.
std::unique_ptr<PreparedProblem> prepare(const Problem& problem, Device& device, std::int64_t distinct_rows,
                                         std::string& why);

}  // namespace normquant::validate
