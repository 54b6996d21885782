#include "validate/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace normquant::validate {
namespace {

constexpr std::size_t most_mismatches = 5;

/// The codes that some value within `error` of t rounds to.
struct CodeRange {
  double first, last;
};
CodeRange admissible_codes(double t, double error, const CodeGrid& grid) {
  if (!std::isfinite(error)) return {grid.least, grid.most};
  return {grid.nearest(t - error), grid.nearest(t + error)};
}

}  // namespace

void Comparison::count_unseen_code(double t, double t_error, const CodeGrid& grid) {
  if (std::isnan(t)) return;
  const CodeRange range = admissible_codes(t, t_error, grid);
  count_code(grid.count(range.first, range.last), t, t_error, grid);
}

/// Where all that t may be is clamped to one code no share is expected to have two.
void Comparison::count_code(double admissible, double t, double t_error, const CodeGrid& grid) {
  ++verdict_.codes_checked;
  const double steps = t_error / grid.spacing(t);
  const bool saturates = t - t_error > grid.most || t + t_error < grid.least;
  if (!saturates) verdict_.ambiguous_expected += steps < 0.5 ? 2 * steps : 1.0;
  if (admissible == 1) return;
  ++verdict_.codes_ambiguous;
  verdict_.codes_open += steps < 1 ? 0 : 1;
  verdict_.codes_on_ties += admissible == 2 && grid.is_on_tie(t) ? 1 : 0;
}

bool Comparison::never_written(std::string_view tensor, std::int64_t row, std::int64_t column,
                               std::size_t element_bytes, std::uint32_t bits, unsigned char first_poison) {
  if (unwritten_ == nullptr) return false;
  const bool first = unwritten_->poison() == Poison::first;
  const std::uint32_t pattern = 0x01010101U * (first ? first_poison : DeviceTensor::second_poison);
  if (bits != (pattern & (0xFFFFFFFFU >> (32 - 8 * element_bytes)))) return false;
  verdict_.like_poison += first ? 1 : 0;
  return unwritten_->still_holds(tensor, row, column);
}

TensorScore& Comparison::score(std::string_view tensor) {
  std::vector<TensorScore>& all = verdict_.tensors;
  if (last_ < all.size() && all[last_].tensor == tensor) return all[last_];
  const auto found = std::find_if(all.begin(), all.end(), [&](const TensorScore& s) { return s.tensor == tensor; });
  last_ = static_cast<std::size_t>(found - all.begin());
  return found != all.end() ? *found : all.emplace_back(TensorScore{std::string(tensor)});
}

void Comparison::count(std::string_view tensor) {
  ++verdict_.elements_checked;
  ++score(tensor).checked;
}

void Comparison::note_ratio(std::string_view tensor, double error_over_bound) {
  TensorScore& own = score(tensor);
  own.worst_error_over_bound = std::max(own.worst_error_over_bound, error_over_bound);
  if (!(error_over_bound > verdict_.worst_error_over_bound)) return;
  verdict_.worst_error_over_bound = error_over_bound;
  verdict_.worst_tensor = tensor;
}

template <class Texts>
void Comparison::wrong_with(std::string_view tensor, std::int64_t row, std::int64_t column, Texts texts) {
  ++verdict_.elements_wrong;
  ++score(tensor).wrong;
  const bool first = verdict_.outcome == Outcome::pass;
  if (!first && verdict_.mismatches.size() >= most_mismatches) return;
  auto [expected, actual] = texts();
  if (first) {
    verdict_.outcome = Outcome::wrong;
    verdict_.reason = fmt::format("{}[{},{}] is {}, expected {}", tensor, row, column, actual, expected);
  }
  if (verdict_.mismatches.size() < most_mismatches) {
    verdict_.mismatches.push_back({std::string(tensor), row, column, std::move(expected), std::move(actual)});
  }
}

void Comparison::wrong(std::string_view tensor, std::int64_t row, std::int64_t column, std::string expected,
                       std::string actual) {
  wrong_with(tensor, row, column, [&] { return std::pair(std::move(expected), std::move(actual)); });
}

void Comparison::merge(const Verdict& later) {
  verdict_.elements_checked += later.elements_checked;
  verdict_.elements_wrong += later.elements_wrong;
  verdict_.codes_checked += later.codes_checked;
  verdict_.codes_ambiguous += later.codes_ambiguous;
  verdict_.codes_on_ties += later.codes_on_ties;
  verdict_.codes_open += later.codes_open;
  verdict_.ambiguous_expected += later.ambiguous_expected;
  if (verdict_.outcome == Outcome::pass && later.outcome != Outcome::pass) {
    verdict_.outcome = later.outcome;
    verdict_.reason = later.reason;
  }
  for (const Mismatch& mismatch : later.mismatches) {
    if (verdict_.mismatches.size() < most_mismatches) verdict_.mismatches.push_back(mismatch);
  }
  for (const TensorScore& other : later.tensors) {
    TensorScore& own = score(other.tensor);
    own.checked += other.checked;
    own.wrong += other.wrong;
    note_ratio(other.tensor, other.worst_error_over_bound);
  }
}

void Comparison::damaged(std::string_view tensor, std::string_view how) {
  wrong(tensor, 0, 0, "no byte outside the tensor written", fmt::format("{}: {}", tensor, how));
  verdict_.reason = fmt::format("{}: {}", tensor, how);
}

void Comparison::failed(const Status& status) {
  verdict_.outcome = Outcome::error;
  verdict_.reason = status.message;
}

void Comparison::value(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
                       double truth, double bound) {
  count(tensor);
  const double actual = decode(type, bits);
  if (never_written(tensor, row, column, size_of(type), bits, DeviceTensor::float_poison)) {
    return wrong(tensor, row, column, fmt::format("{:.9g}", truth), "never written");
  }
  if (std::isnan(truth)) {
    if (!std::isnan(actual)) {
      wrong_with(tensor, row, column, [&] { return std::pair(std::string("NaN"), fmt::format("{:.9g}", actual)); });
    }
    return;
  }
  if (std::isinf(truth)) {
    if (!(actual == truth)) {
      wrong_with(tensor, row, column,
                 [&] { return std::pair(fmt::format("{}", truth), fmt::format("{:.9g}", actual)); });
    }
    return;
  }
  if (std::isinf(bound)) return;  // any value is right, once it was written
  const double reach = std::abs(truth) + bound;
  const double full = bound + unit_roundoff(type) * reach + half_smallest(type);
  if (std::isinf(actual) && reach >= overflow_from(type) * (1 - unit_roundoff(type))) {
    if (std::signbit(actual) != std::signbit(truth)) wrong(tensor, row, column, "infinity", "the other infinity");
    return;
  }
  const double error = std::abs(actual - truth);
  note_ratio(tensor, error / full);
  if (!(error <= full)) {
    wrong_with(tensor, row, column, [&] {
      return std::pair(fmt::format("{:.9g} within {:.3g}", truth, full), fmt::format("{:.9g}", actual));
    });
  }
}

void Comparison::exact(std::string_view tensor, std::int64_t row, std::int64_t column, DType type, std::uint32_t bits,
                       double truth) {
  count(tensor);
  const double actual = decode(type, bits);
  const bool same = actual == truth && std::signbit(actual) == std::signbit(truth);
  const bool right = std::isnan(truth) ? std::isnan(actual) : same;
  if (never_written(tensor, row, column, size_of(type), bits, DeviceTensor::float_poison)) {
    return wrong(tensor, row, column, fmt::format("{:.9g}", truth), "never written");
  }
  if (right) return;
  wrong_with(tensor, row, column,
             [&] { return std::pair(fmt::format("exactly {:.9g}", truth), fmt::format("{:.9g}", actual)); });
}

void Comparison::code(std::string_view tensor, std::int64_t row, std::int64_t column, int actual, double t,
                      double t_error, const CodeGrid& grid) {
  count(tensor);
  const auto bits = static_cast<std::uint32_t>(static_cast<std::uint8_t>(actual));
  const char* const of_nan = grid.is_fp8() ? "code 0x7F (NaN)" : "code 0 (a row of NaN)";
  if (never_written(tensor, row, column, 1, bits, DeviceTensor::poison_of_codes(grid.is_fp8()))) {
    return wrong(tensor, row, column, std::isnan(t) ? of_nan : "a code", "never written");
  }
  const auto shown = [&] { return grid.is_fp8() ? fmt::format("{:#04x}", bits) : fmt::format("{}", actual); };
  if (std::isnan(t)) {
    ++verdict_.codes_checked;
    const bool other_nan = grid.either_nan && grid.is_fp8() && bits == 0xFFU;
    if (!other_nan && bits != (grid.is_fp8() ? 0x7FU : 0U)) wrong(tensor, row, column, of_nan, shown());
    return;
  }
  const CodeRange range = admissible_codes(t, t_error, grid);
  count_code(grid.count(range.first, range.last), t, t_error, grid);
  const double number = grid.number(actual);
  if (grid.is_nan_beyond(std::abs(t) + t_error)) {
    if (std::isnan(number)) return;
    if (grid.is_nan_beyond(std::abs(t) - t_error)) return wrong(tensor, row, column, "NaN", shown());
  }
  if (number >= range.first && number <= range.last) return;
  wrong_with(tensor, row, column, [&] {
    return std::pair(range.first == range.last ? fmt::format("code {}", range.first)
                                               : fmt::format("a code in [{}, {}]", range.first, range.last),
                     fmt::format("{}{} (y * quant_scale = {:.9g})", grid.is_fp8() ? shown() + ", " : "", number, t));
  });
}

void Comparison::fake_quantised(std::string_view tensor, std::int64_t row, std::int64_t column, DType type,
                                std::uint32_t bits, double t, double t_error, double dequant_scale, double scale_error,
                                const CodeGrid& grid) {
  if (std::isnan(t)) return value(tensor, row, column, type, bits, t * dequant_scale, 0);
  const CodeRange range = admissible_codes(t, t_error, grid);
  count_code(grid.count(range.first, range.last), t, t_error, grid);
  const double actual = decode(type, bits);
  if (grid.is_nan_beyond(std::abs(t) + t_error)) {
    const bool surely = grid.is_nan_beyond(std::abs(t) - t_error);
    if (surely || std::isnan(actual)) return value(tensor, row, column, type, bits, reference::nan, 0);
  }
  const double code = actual / dequant_scale;
  // code * dequant_scale, or the quotient, which may be approximate.
  const double nearest = std::isnan(code) ? range.first : std::clamp(grid.nearest(code), range.first, range.last);
  const double truth = nearest * dequant_scale;
  value(tensor, row, column, type, bits, truth, std::abs(truth) * (scale_error + division * 0x1p-24));
}

}  // namespace normquant::validate
