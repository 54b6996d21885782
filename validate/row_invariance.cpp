#include "validate/row_invariance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

namespace normquant::validate {
namespace {

/// Elements of the inputs that differ, in a setting: the reference is made for them.
constexpr std::int64_t most_distinct_elements = std::int64_t{1} << 18;
/// Elements of a setting with more than a few rows. On the host a row of few columns takes as long as one of host_row, so that
/// 4097 rows would take seconds a launch.
constexpr std::int64_t most_elements_of_gpu = std::int64_t{1} << 25, most_elements_of_host = std::int64_t{1} << 20,
                       host_row = 1024;

/// Rows further apart than that are a matter of offsets, not of sums, and take the memory of many.
constexpr std::int64_t longest_padding = 4096;

/// The largest of these that keeps the reference small; the last otherwise.
std::int64_t distinct_of(std::initializer_list<std::int64_t> candidates, std::int64_t columns) {
  for (const std::int64_t distinct : candidates) {
    if (distinct * columns <= most_distinct_elements) return distinct;
  }
  return *(candidates.end() - 1);
}

/// The longer of a row that is read and of one that is written: the layer's may have other lengths.
std::int64_t width_of(const Problem& p) { return is_layer(p.op) ? std::max(p.columns, p.outputs()) : p.columns; }

bool affordable(std::int64_t rows, std::int64_t width, DeviceKind kind) {
  if (kind == DeviceKind::cuda) return rows * width <= most_elements_of_gpu;
  return rows * std::max(width, host_row) <= most_elements_of_host;
}

Problem in_other_tensors(Problem p, std::int64_t padding, int offset) {
  p.row_padding = padding, p.offset = offset;
  p.dense_inputs = p.dense_outputs = false;
  p.paddings.clear(), p.offsets.clear();
  return p;
}

/// What a launch wrote of a row, and where that was.
struct Seen {
  std::vector<unsigned char> bytes;
  std::string where;
};

std::string hex(const unsigned char* element, std::size_t bytes) {
  std::string text;
  for (std::size_t i = bytes; i > 0; --i) text += fmt::format("{:02x}", element[i - 1]);
  return "0x" + text;
}

std::string place_of(std::int64_t row, const Setting& setting) {
  const std::int64_t rows = setting.problem.rows;
  const std::string row_text =
      rows == 1 ? fmt::format("row {} alone (M = 1)", row) : fmt::format("row {} of M = {}", row, rows);
  return row_text + setting.how;
}

/// The rows of one variant, each as it was seen first, and what is wrong with later ones.
class Rows {
 public:
  explicit Rows(std::string_view promise) : promise_(promise) {}

  void look_at(const RowOutput& output, const Setting& setting, std::string_view by) {
    const std::int64_t same = output.row % setting.distinct;
    if (same == setting.without || (setting.only >= 0 && same != setting.only)) return;
    const std::size_t bytes = static_cast<std::size_t>(output.columns) * output.element_bytes;
    auto [place, is_new] = seen_.try_emplace({std::string(output.tensor), same, setting.contents});
    Seen& first = place->second;
    if (is_new) {
      first = {{output.bytes, output.bytes + bytes}, place_of(output.row, setting) + std::string(by)};
      return;
    }
    ++compared_;
    if (std::memcmp(first.bytes.data(), output.bytes, bytes) == 0) return;
    for (std::int64_t j = 0; j < output.columns; ++j) {
      const std::size_t at = static_cast<std::size_t>(j) * output.element_bytes;
      if (std::memcmp(&first.bytes[at], output.bytes + at, output.element_bytes) != 0) {
        differs(output, first, j, place_of(output.row, setting) + std::string(by));
      }
    }
  }

  Verdict added_to(Verdict verdict) const {
    verdict.rows_compared += compared_;
    if (wrong_ == 0) return verdict;
    verdict.outcome = Outcome::wrong;
    verdict.reason = reason_;
    verdict.elements_wrong += wrong_;
    verdict.mismatches.insert(verdict.mismatches.end(), mismatches_.begin(), mismatches_.end());
    return verdict;
  }

 private:
  static constexpr std::size_t most_kept = 8;

  void differs(const RowOutput& output, const Seen& first, std::int64_t column, const std::string& where) {
    if (++wrong_ > static_cast<std::int64_t>(most_kept)) return;
    const std::size_t at = static_cast<std::size_t>(column) * output.element_bytes;
    const std::string before = hex(&first.bytes[at], output.element_bytes),
                      now = hex(output.bytes + at, output.element_bytes);
    if (wrong_ == 1) {
      reason_ = fmt::format("{}: element {} of {} is {} in {} and {} in {}, which have the same inputs", promise_,
                            column, output.tensor, before, first.where, now, where);
    }
    mismatches_.push_back({std::string(output.tensor), output.row, column, fmt::format("{} ({})", before, first.where),
                           fmt::format("{} ({})", now, where)});
  }

  std::string_view promise_;
  std::map<std::tuple<std::string, std::int64_t, int>, Seen> seen_;  ///< by tensor, row and contents
  std::int64_t compared_ = 0, wrong_ = 0;
  std::string reason_;
  std::vector<Mismatch> mismatches_;
};

Status launch_and_look(PreparedProblem& prepared, Device& device, VariantHandle variant, const Setting& setting,
                       std::string_view by, Rows& rows) {
  Status status = prepared.reserve(variant);
  if (status.ok()) status = prepared.poison_outputs();
  if (status.ok()) status = prepared.launch(variant, nullptr);
  if (status.ok()) status = device.synchronize();
  if (status.ok()) status = prepared.visit_rows([&](const RowOutput& output) { rows.look_at(output, setting, by); });
  return status;
}

Verdict error(Verdict verdict, std::string reason) {
  verdict.outcome = Outcome::error;
  verdict.reason = "while its rows were compared with those of other problems: " + std::move(reason);
  return verdict;
}

}  // namespace

std::vector<Setting> settings_of(const Problem& problem, DeviceKind kind) {
  Problem base = problem;
  base.values =
      Values::outlier_columns;  // sums of numbers of one size are nearly exact in 16 bits: no order shows in them
  base.at_row = base.at_column = -1;
  if (base.row_padding > longest_padding) base = in_other_tensors(base, 0, 0);
  std::erase_if(base.paddings, [](const auto& own) { return own.second > longest_padding; });
  const auto with_rows = [](Problem p, std::int64_t rows) {
    p.rows = rows;
    return p;
  };
  constexpr std::int64_t few = 8;
  const Problem some = with_rows(base, few);
  std::vector<Setting> all = {{with_rows(base, 1), 1}, {some, few}, {some, few - 1}};
  const std::int64_t width = width_of(base);
  if (affordable(130, width, kind)) all.push_back({with_rows(base, 130), distinct_of({43, 3}, width)});
  if (affordable(4097, width, kind)) {
    all.push_back({with_rows(base, 4097), distinct_of({61, 31, 13, 7, 3}, width)});
  }
  Setting strides{in_other_tensors(some, 16, 0), few, 0, ", in tensors of other strides"};
  Setting alignment{in_other_tensors(some, 5, 1), few, 0, ", in tensors of another alignment"};
  strides.other_alignment = alignment.other_alignment = true;
  Setting plain{some, few, 1};
  plain.problem.values = Values::normal;
  Setting with_nan{plain.problem, few, 1, ", beside a row with NaN"};
  with_nan.problem.values = Values::one_nan;
  with_nan.problem.at_row = with_nan.without = 1;
  Setting among_zeros{plain.problem, few, 1, ", whose other rows are zeros"};
  among_zeros.problem.values = Values::last_row;
  among_zeros.only = few - 1;
  for (Setting* one : {&strides, &alignment, &plain, &with_nan, &among_zeros}) all.push_back(std::move(*one));
  return all;
}

RowInvariance::RowInvariance(const Problem& problem, Device& device) : device_(device) {
  for (Setting& setting : settings_of(problem, device.info().kind)) settings_.push_back({std::move(setting)});
}

PreparedProblem* RowInvariance::prepared(Prepared& one, std::string& why) {
  if (one.problem == nullptr) {
    one.problem = prepare(one.setting.problem, device_, one.setting.distinct, why);
    if (one.problem != nullptr) one.problem->ask_for_row_invariance(true);
  }
  return one.problem.get();
}

Verdict RowInvariance::prove(std::string_view asked, VariantHandle variant, Verdict verdict) {
  const bool chosen = asked == "invariant";
  Rows rows(chosen ? "the row-invariant choice does not keep a row's bits"
                   : "the variant promises to keep a row's bits (row_invariant)");
  std::string why;
  for (Prepared& one : settings_) {
    // What chooses by the alignment, as the layer does for its norm, keeps a row's bits for tensors of the same alignment.
    if ((chosen || is_layer(one.setting.problem.op)) && one.setting.other_alignment) continue;
    PreparedProblem* problem = prepared(one, why);
    if (problem == nullptr) return error(std::move(verdict), why);
    const VariantHandle here = chosen ? problem->find(asked) : variant;
    if (!problem->why_not(here).empty()) continue;
    const Status status = launch_and_look(*problem, device_, here, one.setting, {}, rows);
    if (!status.ok()) return error(std::move(verdict), status.message);
  }
  const std::string_view same_bits = variant.row_bits_of();
  if (chosen || same_bits.empty() || same_bits == variant.name()) return rows.added_to(std::move(verdict));
  for (Prepared& one : settings_) {
    if (one.setting.contents != 0 || !one.setting.how.empty()) continue;
    PreparedProblem* problem = prepared(one, why);
    if (problem == nullptr) return error(std::move(verdict), why);
    const VariantHandle other = problem->find(same_bits);
    if (!problem->why_not(other).empty()) continue;
    const Status status =
        launch_and_look(*problem, device_, other, one.setting, fmt::format(", by {}", same_bits), rows);
    if (!status.ok()) return error(std::move(verdict), status.message);
  }
  return rows.added_to(std::move(verdict));
}

}  // namespace normquant::validate
