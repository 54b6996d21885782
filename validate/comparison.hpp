// Compares what a kernel wrote with the truth and its bound, element by element, and keeps score.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "reference/types.hpp"
#include "validate/bounds.hpp"
#include "validate/code_grid.hpp"
#include "validate/device_tensor.hpp"
#include "validate/host_tensor.hpp"
#include "validate/poison.hpp"
#include "validate/verdict.hpp"

namespace normquant::validate {

/// Collects the verdict of one problem on one variant. A value is right when |value - truth| <= bound: NaN never is,
/// unless the truth is NaN.
class Comparison {
 public:
  /// Of outputs that may hold anything.
  Comparison() = default;
  /// Of outputs that were poisoned before the kernel ran. Under the first poison what holds it is compared as the value that
  /// it may be, and counted (Verdict::like_poison): whoever compares then launches once more, over the second.
  explicit Comparison(Unwritten& unwritten) : unwritten_(&unwritten) {}

  /// One value in `type`; `bits` are the stored ones. `bound` is for the float32 value: rounding to `type` is added.
  void value(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
             double truth, double bound);
  /// A value that must be exactly this one, zero's sign included.
  void exact(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
             double truth);
  /// A code as it lies in memory; t is y * quant_scale, NaN in a row of NaN (whose codes are 0, of fp8 0x7F).
  void code(std::string_view tensor, std::int64_t row, std::int64_t column, int actual, double t, double t_error,
            const CodeGrid& grid);
  void code(std::string_view tensor, std::int64_t row, std::int64_t column, int actual, double t, double t_error,
            reference::Rounding rounding, double least, double most) {
    code(tensor, row, column, actual, t, t_error, {reference::Format::int8, rounding, least, most});
  }
  /// A fake-quantised value: its nearest code must be admissible, and the value be code * dequant_scale within bounds.
  void fake_quantised(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
                      double t, double t_error, double dequant_scale, double scale_error, const CodeGrid& grid);
  void fake_quantised(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
                      double t, double t_error, double dequant_scale, double scale_error, reference::Rounding rounding,
                      double least, double most) {
    fake_quantised(tensor, row, column, type, bits, t, t_error, dequant_scale, scale_error,
                   {reference::Format::int8, rounding, least, most});
  }
  /// Counts a code that is not given itself: what is given follows from it.
  void count_unseen_code(double t, double t_error, const CodeGrid& grid);
  void wrong(std::string_view tensor, std::int64_t row, std::int64_t column, std::string expected, std::string actual);
  /// A tensor as a whole is damaged: guard bands, padding, changed inputs.
  void damaged(std::string_view tensor, std::string_view how);
  void failed(const Status& status);
  /// Elements whose row equals, bit for bit, one that was checked.
  void count_equal_row(std::int64_t elements) { verdict_.elements_checked += elements; }

  /// Adds what another one found in elements that come after this one's.
  void merge(const Verdict& later);

  const Verdict& verdict() const { return verdict_; }

 private:
  bool never_written(std::string_view tensor, std::int64_t row, std::int64_t column, std::size_t element_bytes,
                     std::uint32_t bits, unsigned char first_poison);
  TensorScore& score(std::string_view tensor);
  void count(std::string_view tensor);
  void count_code(double admissible, double t, double t_error, const CodeGrid& grid);
  /// wrong() with texts that are made only when they are kept: of millions of wrong elements the first few are.
  template <class Texts>
  void wrong_with(std::string_view tensor, std::int64_t row, std::int64_t column, Texts texts);
  void note_ratio(std::string_view tensor, double error_over_bound);

  Unwritten* unwritten_ = nullptr;
  Verdict verdict_;
  std::size_t last_ = 0;  ///< place of the latest tensor in verdict_.tensors
};

}  // namespace normquant::validate
