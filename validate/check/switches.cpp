#include "validate/check/switches.hpp"

#include <fmt/format.h>

#include <cmath>

#include "exit_status.hpp"
#include "output/did_you_mean.hpp"
#include "output/escape.hpp"
#include "refusal.hpp"

namespace normquant::check {
namespace {

Op op_of(const std::string& word) {
  if (const auto op = op_named(word)) return *op;
  throw Refusal{exit_usage,
                fmt::format("--op '{}': there are {}{}", word, known_ops,
                            output::did_you_mean(word, {"forward", "norm", "backward", "activation_quant",
                                                        "weight_quant", "bit_linear_forward", "bit_linear_backward"}))};
}

std::optional<DType> type_of(const std::string& name) {
  return name.empty() || name == "float32" ? std::nullopt : dtype_named(name);
}

validate::Algorithm algorithm_of(const std::string& name) {
  using validate::Algorithm;
  return name == "two_pass" ? Algorithm::two_pass : name == "welford" ? Algorithm::welford : Algorithm::any;
}

/// --format, --static-scale and --floor, of the operations that have them.
void take_quantisation(const SwitchWords& words, Switches& s) {
  Quantisation& q = s.problem.quantisation;
  const bool has_them = s.op == Op::forward || s.op == Op::activation_quant;
  const auto number = [&](const char* option, const std::optional<double>& value, float least, float most, float& to) {
    if (!value) return;
    if (!has_them) throw Refusal{exit_usage, fmt::format("{} has no meaning for {}", option, name_of(s.op))};
    to = static_cast<float>(*value);
    if (to >= least && to <= most) return;
    throw Refusal{exit_usage, fmt::format("{} {}: it must be from {:g} to {:g}", option, *value, least, most)};
  };
  if (words.format != "int8" && !has_them) {
    throw Refusal{exit_usage, fmt::format("--format has no meaning for {}", name_of(s.op))};
  }
  q.format = quant_format_named(words.format).value_or(QuantFormat::int8);
  number("--static-scale", words.static_scale, 1e-12F, 1e12F, q.static_scale);
  number("--floor", words.floor, 1e-12F, 1e30F, q.floor);
  if (words.floor && words.static_scale) {
    throw Refusal{exit_usage, "--floor has no meaning beside --static-scale, by which no absmax is taken"};
  }
}

}  // namespace

Switches switches_of(const SwitchWords& words) {
  Switches s;
  s.op = op_of(words.op);
  validate::Problem& p = s.problem;
  p.op = operation_of(s.op);
  const bool forward = s.op == Op::forward || s.op == Op::norm || s.op == Op::layer_forward;
  const bool normed = forward || s.op == Op::backward || s.op == Op::layer_backward;
  const auto unused = [&](const std::string& option) {
    throw Refusal{exit_usage, fmt::format("{} has no meaning for {}", option, name_of(s.op))};
  };
  if (s.op == Op::activation_quant) p.rounding = Rounding::half_even;
  if (!words.rounding.empty()) {
    if (s.op == Op::weight_quant) unused("--rounding (weights are rounded half to even)");
    if (s.op == Op::norm) unused("--rounding");
    p.rounding = words.rounding == "half_even" ? Rounding::half_even : Rounding::half_away;
  }
  if (!words.y_type.empty() && s.op != Op::forward) unused("--y-type");
  if (!words.arithmetic.empty() && s.op != Op::norm) unused("--arithmetic");
  if (words.product != "any" && s.op != Op::layer_forward) unused("--product");
  s.product = product_named(words.product).value_or(Product::any);
  if (words.packing != "normquant" && s.op != Op::weight_quant) unused("--packing");
  s.y_type = type_of(words.y_type);
  s.arithmetic = type_of(words.arithmetic);
  s.packing = packing_named(words.packing).value_or(Packing::normquant);
  s.algorithm = algorithm_of(words.algorithm);
  take_quantisation(words, s);
  if (normed) {
    if (words.norm.empty()) throw Refusal{exit_usage, "say which norm it is: --norm rms or --norm layer"};
    p.norm = words.norm == "layer" ? NormKind::layer : NormKind::rms;
  } else if (!words.norm.empty()) {
    unused("--norm");
  }
  if (!normed && words.algorithm != "any") unused("--algorithm");
  if (!forward) {
    if (words.eps) unused("--eps");
    if (words.h_source != "unrounded") unused("--h-source");
    return s;
  }
  if (!words.eps) throw Refusal{exit_usage, "say what eps the output was computed with: --eps 1e-6"};
  p.eps = static_cast<float>(*words.eps);
  if (!(p.eps > 0) || !std::isfinite(p.eps)) {
    throw Refusal{exit_usage, fmt::format("--eps {}: it must be positive and finite as a float32", *words.eps)};
  }
  p.h_source = words.h_source == "stored" ? HSource::stored : HSource::unrounded;
  return s;
}

std::string options_of(const SwitchWords& words) {
  std::string text = "--op " + output::quoted_for_shell(words.op);
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) text += fmt::format(" {} {}", option, output::quoted_for_shell(value));
  };
  add("--norm", words.norm);
  if (words.eps) text += fmt::format(" --eps {}", *words.eps);
  add("--rounding", words.rounding);
  if (words.h_source != "unrounded") add("--h-source", words.h_source);
  if (words.algorithm != "any") add("--algorithm", words.algorithm);
  add("--y-type", words.y_type);
  add("--arithmetic", words.arithmetic);
  if (words.format != "int8") add("--format", words.format);
  if (words.static_scale) text += fmt::format(" --static-scale {}", *words.static_scale);
  if (words.floor) text += fmt::format(" --floor {}", *words.floor);
  if (words.packing != "normquant") add("--packing", words.packing);
  if (words.product != "any") add("--product", words.product);
  return text;
}

}  // namespace normquant::check
