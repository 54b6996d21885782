#include "validate/problem.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace normquant::validate {
namespace {

constexpr std::array<std::pair<Values, std::string_view>, named_kinds_of_values> value_names = {{
    {Values::normal, "normal"},
    {Values::outlier_columns, "outlier_columns"},
    {Values::constant, "constant"},
    {Values::zeros, "zeros"},
    {Values::one_hot, "one_hot"},
    {Values::last_column, "last_column"},
    {Values::huge_mean, "huge_mean"},
    {Values::large, "large"},
    {Values::tiny, "tiny"},
    {Values::ties, "ties"},
    {Values::one_nan, "one_nan"},
    {Values::one_inf, "one_inf"},
    {Values::huge_weight, "huge_weight"},
    {Values::negative_zeros, "negative_zeros"},
    {Values::largest, "largest"},
    {Values::subnormals, "subnormals"},
    {Values::tiny_variance, "tiny_variance"},
    {Values::at_floor, "at_floor"},
    {Values::last_row, "last_row"},
    {Values::last_nan, "last_nan"},
    {Values::minus_inf, "minus_inf"},
    {Values::nan_weight, "nan_weight"},
    {Values::one_large, "one_large"},
    {Values::near_ties, "near_ties"},
    {Values::minus_nan, "minus_nan"},
    {Values::huge, "huge"},
    {Values::means, "means"},
    {Values::uniform, "uniform"},
    {Values::activations, "activations"},
}};

template <class Integer>
bool parse_integer(std::string_view text, Integer& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "1") return true;
  if (text == "0") return false;
  return std::nullopt;
}

/// The optional types by key, so that writing and reading cannot disagree.
template <class P>
auto type_members(P& p) {
  using Member = std::conditional_t<std::is_const_v<P>, const std::optional<DType>*, std::optional<DType>*>;
  return std::array<std::pair<std::string_view, Member>, 12>{{{"residual", &p.residual},
                                                              {"residual_out", &p.residual_out},
                                                              {"weight", &p.weight},
                                                              {"bias", &p.bias},
                                                              {"out", &p.out},
                                                              {"dy", &p.dy},
                                                              {"dresidual", &p.dresidual},
                                                              {"dx_residual", &p.dx_residual},
                                                              {"dx", &p.dx},
                                                              {"operand", &p.operand},
                                                              {"linear_weight", &p.linear_weight},
                                                              {"linear_bias", &p.linear_bias}}};
}
template <class P>
auto flag_members(P& p) {
  using Member = std::conditional_t<std::is_const_v<P>, const bool*, bool*>;
  return std::array<std::pair<std::string_view, Member>, 8>{{{"codes", &p.codes},
                                                             {"packed", &p.packed},
                                                             {"save_quant_scale", &p.save_quant_scale},
                                                             {"cached", &p.cached},
                                                             {"training", &p.training},
                                                             {"dropped_bias", &p.dropped_bias},
                                                             {"dense_inputs", &p.dense_inputs},
                                                             {"dense_outputs", &p.dense_outputs}}};
}

bool is_tensor(std::string_view name) {
  return std::find(std::begin(tensor_names), std::end(tensor_names), name) != std::end(tensor_names);
}

constexpr std::int64_t most_padding = std::int64_t{1} << 40;
constexpr int most_offset = 1024;

/// `offset.dy=1`, `padding.h=3`, `without=rstd,mean`; nothing when the key is none of these.
std::optional<bool> set_of_tensors(Problem& p, std::string_view key, std::string_view value) {
  constexpr std::string_view offset = "offset.", padding = "padding.";
  if (key.starts_with(offset)) {
    key.remove_prefix(offset.size());
    int& elements = p.offsets[std::string(key)];
    return is_tensor(key) && parse_integer(value, elements) && elements >= 0 && elements <= most_offset;
  }
  if (key.starts_with(padding)) {
    key.remove_prefix(padding.size());
    std::int64_t& elements = p.paddings[std::string(key)];
    return is_tensor(key) && parse_integer(value, elements) && elements >= 0 && elements <= most_padding;
  }
  if (key != "with" && key != "without") return std::nullopt;
  auto& names = key == "with" ? p.with : p.without;
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view name = value.substr(0, comma);
    if (!is_tensor(name)) return false;
    names.emplace(name);
    if (comma == std::string_view::npos) return true;
    value.remove_prefix(comma + 1);
  }
}

/// Sets one member; false when key or value is unknown.
bool set_member(Problem& p, std::string_view key, std::string_view value, std::string& why) {
  for (auto [name, member] : type_members(p)) {
    if (name == key) return (*member = dtype_named(value)).has_value();
  }
  for (auto [name, member] : flag_members(p)) {
    if (name != key) continue;
    const auto flag = parse_flag(value);
    if (flag) *member = *flag;
    return flag.has_value();
  }
  if (key == "op") {
    const auto op = operation_named(value);
    if (op) p.op = *op;
    return op.has_value();
  }
  if (key == "shape") {
    const auto shape = parse_shape(value, why);
    if (shape) std::tie(p.rows, p.columns) = std::pair{shape->rows, shape->columns};
    return shape.has_value();
  }
  if (key == "x") {
    const auto type = dtype_named(value);
    if (type) p.x = *type;
    return type.has_value();
  }
  if (key == "norm")
    return p.norm = value == "layer" ? NormKind::layer : NormKind::rms, value == "layer" || value == "rms";
  if (key == "rounding") {
    p.rounding = value == "half_even" ? Rounding::half_even : Rounding::half_away;
    return value == "half_even" || value == "half_away";
  }
  if (key == "h_source") {
    p.h_source = value == "stored" ? HSource::stored : HSource::unrounded;
    return value == "stored" || value == "unrounded";
  }
  if (key == "format") {
    const auto format = quant_format_named(value);
    if (format) p.quantisation.format = *format;
    return format.has_value();
  }
  if (key == "static_scale")
    return parse_integer(value, p.quantisation.static_scale) && p.quantisation.static_scale > 0;
  if (key == "floor") return parse_integer(value, p.quantisation.floor) && p.quantisation.floor > 0;
  if (key == "eps") return parse_integer(value, p.eps) && p.eps > 0 && std::isfinite(p.eps);
  if (key == "values") {
    const auto values = values_named(value);
    if (values) p.values = *values;
    return values.has_value();
  }
  if (key == "row_padding")
    return parse_integer(value, p.row_padding) && p.row_padding >= 0 && p.row_padding <= most_padding;
  if (key == "offset") return parse_integer(value, p.offset) && p.offset >= 0 && p.offset <= most_offset;
  if (key == "guard") {
    p.guard = value == "before" ? GuardPage::before : GuardPage::behind;
    return value == "before" || value == "behind";
  }
  if (key == "k_out") return parse_integer(value, p.k_out) && p.k_out >= 1 && p.k_out <= most_padding;
  if (key == "seed") return parse_integer(value, p.seed);
  if (key == "at_row") return parse_integer(value, p.at_row) && p.at_row >= 0;
  if (key == "at_column") return parse_integer(value, p.at_column) && p.at_column >= 0;
  return set_of_tensors(p, key, value).value_or(false);
}

}  // namespace

std::vector<Operation> operations_named(std::string_view name) {
  if (name == "bit_linear") return {Operation::bit_linear_forward, Operation::bit_linear_backward};
  const auto op = operation_named(name);
  return op ? std::vector<Operation>{*op} : std::vector<Operation>{};
}

std::vector<std::string> operation_names() {
  std::vector<std::string> names = {"forward", "backward", "bit_linear"};
  for (Operation op : all_operations) names.emplace_back(name_of(op));
  return names;
}

std::string_view name_of(Values values) {
  for (const auto& [value, name] : value_names) {
    if (value == values) return name;
  }
  return "normal";
}

std::optional<Values> values_named(std::string_view name) {
  for (const auto& [value, value_name] : value_names) {
    if (value_name == name) return value;
  }
  return std::nullopt;
}

std::string to_text(const Problem& p) {
  const Problem usual;
  std::string text = fmt::format("op={} shape={}x{} x={}", name_of(p.op), p.rows, p.columns, name_of(p.x));
  for (const auto& [name, member] : type_members(p)) {
    if (member->has_value()) text += fmt::format(" {}={}", name, name_of(**member));
  }
  for (const auto& [name, member] : flag_members(p)) {
    if (*member) text += fmt::format(" {}=1", name);
  }
  if (p.norm != usual.norm) text += fmt::format(" norm={}", name_of(p.norm));
  if (p.rounding != usual.rounding) text += fmt::format(" rounding={}", name_of(p.rounding));
  if (p.h_source != usual.h_source) text += fmt::format(" h_source={}", name_of(p.h_source));
  if (p.eps != usual.eps) text += fmt::format(" eps={}", p.eps);
  const Quantisation &q = p.quantisation, &usual_q = usual.quantisation;
  if (q.format != usual_q.format) text += fmt::format(" format={}", name_of(q.format));
  if (q.has_static_scale()) text += fmt::format(" static_scale={}", q.static_scale);
  if (q.floor != usual_q.floor) text += fmt::format(" floor={}", q.floor);
  if (p.values != usual.values) text += fmt::format(" values={}", name_of(p.values));
  if (p.row_padding != usual.row_padding) text += fmt::format(" row_padding={}", p.row_padding);
  if (p.offset != usual.offset) text += fmt::format(" offset={}", p.offset);
  if (p.guard != usual.guard) text += fmt::format(" guard={}", p.guard == GuardPage::before ? "before" : "behind");
  if (p.k_out != usual.k_out) text += fmt::format(" k_out={}", p.k_out);
  if (p.seed != usual.seed) text += fmt::format(" seed={}", p.seed);
  for (const auto& [tensor, elements] : p.offsets) text += fmt::format(" offset.{}={}", tensor, elements);
  for (const auto& [tensor, elements] : p.paddings) text += fmt::format(" padding.{}={}", tensor, elements);
  if (!p.without.empty()) text += fmt::format(" without={}", fmt::join(p.without, ","));
  if (!p.with.empty()) text += fmt::format(" with={}", fmt::join(p.with, ","));
  if (p.at_row != usual.at_row) text += fmt::format(" at_row={}", p.at_row);
  if (p.at_column != usual.at_column) text += fmt::format(" at_column={}", p.at_column);
  return text;
}

std::optional<Problem> parse_problem(std::string_view text, std::string& why) {
  Problem problem;
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::size_t start = text.find_first_not_of(' ');
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    const std::size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
    why.clear();
    if (!seen.insert(key).second) {
      why = fmt::format("a problem has '{}' once, and '{}' is one more", key, word);
      return std::nullopt;
    }
    if (!set_member(problem, key, value, why)) {
      why = fmt::format("'{}' is not a member of a problem with that value{}{}", word, why.empty() ? "" : ": ", why);
      return std::nullopt;
    }
  }
  if (!seen.contains("op") || !seen.contains("shape")) {
    why = "a problem needs op=... and shape=MxN";
    return std::nullopt;
  }
  return problem;
}

std::optional<Shape> parse_shape(std::string_view text, std::string& why) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  const std::size_t x = text.find('x');
  Shape shape{};
  if (x == std::string_view::npos || !parse_integer(text.substr(0, x), shape.rows) ||
      !parse_integer(text.substr(x + 1), shape.columns)) {
    why = fmt::format("'{}' is not a shape; write MxN with two whole numbers, as in 4096x4096", text);
    return std::nullopt;
  }
  if (shape.rows < 0 || shape.rows > most || shape.columns < 1 || shape.columns > most ||
      (shape.rows > 0 && shape.columns > most / shape.rows)) {
    why = fmt::format("shape '{}' is out of range: M must be 0 or more, N 1 or more, and M * N at most 2^40", text);
    return std::nullopt;
  }
  return shape;
}

std::optional<Shape> parse_any_shape(std::string_view text, std::string& why) {
  const std::size_t first = text.find('x'), last = text.rfind('x');
  if (first == last) return parse_shape(text, why);
  const std::size_t second = text.find('x', first + 1);
  constexpr std::int64_t most = std::int64_t{1} << 40;
  Shape shape{};
  if (second != last || !parse_integer(text.substr(0, first), shape.rows) ||
      !parse_integer(text.substr(first + 1, last - first - 1), shape.columns) ||
      !parse_integer(text.substr(last + 1), shape.k_out)) {
    why = fmt::format("'{}' is not a shape; write MxN, or MxK_inxK_out for the layer, as in 16x4096x4096", text);
    return std::nullopt;
  }
  const auto fits = [&](std::int64_t rows, std::int64_t columns) { return columns >= 1 && rows <= most / columns; };
  if (shape.rows < 0 || shape.k_out < 1 || !fits(shape.rows, shape.columns) || !fits(shape.rows, shape.k_out) ||
      !fits(shape.k_out, shape.columns)) {
    why = fmt::format(
        "shape '{}' is out of range: M must be 0 or more, K_in and K_out 1 or more, and no matrix may have more than "
        "2^40 elements",
        text);
    return std::nullopt;
  }
  return shape;
}

}  // namespace normquant::validate
