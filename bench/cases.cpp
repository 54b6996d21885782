#include "bench/cases.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normquant::bench {
namespace {

using validate::Problem;

constexpr std::string_view forward_forms[] = {
    "rms", "rms+residual", "layer",          "codes",        "rms+unaligned",      "codes+static",
    "fp8", "fp8+static",   "codes+residual", "fp8+residual", "fp8+static+residual"};
constexpr std::string_view backward_forms[] = {"rms", "rms+dresidual", "layer", "rms+unaligned", "rms+no_out"};
constexpr std::string_view activation_forms[] = {"out", "codes", "codes+static", "fp8", "fp8+static"};
constexpr std::string_view weight_forms[] = {"out", "codes", "packed"};
constexpr std::string_view layer_forward_forms[] = {"rms", "rms+training", "rms+cached", "rms+residual"};
constexpr std::string_view layer_backward_forms[] = {"rms", "rms+dresidual"};

void set_norm(Problem& problem, DType dtype, bool layer) {
  problem.weight = dtype;
  if (layer) problem.bias = dtype;
  problem.norm = layer ? NormKind::layer : NormKind::rms;
  problem.eps = layer ? default_eps::layer_norm_linear_quant : default_eps::rms_norm_linear_quant;
}

/// Codes, in the format and by the scale that the form says. A static scale brings normal values of y near the range's ends.
void set_codes(Problem& problem, std::string_view form) {
  const bool fp8 = form.starts_with("fp8"), is_static = form.find("+static") != std::string_view::npos;
  problem.codes = fp8 || form.starts_with("codes");
  if (fp8) problem.quantisation.format = QuantFormat::fp8_e4m3;
  if (is_static) problem.quantisation.static_scale = fp8 ? 100.0F : 30.0F;
}

void set_forward(Problem& problem, DType dtype, std::string_view form) {
  set_norm(problem, dtype, form == "layer");
  if (form.ends_with("+residual")) problem.residual = problem.residual_out = dtype;
  set_codes(problem, form);
  if (!problem.codes) problem.out = dtype;
}

void set_backward(Problem& problem, DType dtype, std::string_view form) {
  set_norm(problem, dtype, form == "layer");
  problem.dy = dtype;
  if (form != "rms+no_out") problem.out = dtype;
  if (form == "rms+dresidual") problem.dresidual = dtype;
}

void set_quant(Problem& problem, DType dtype, std::string_view form) {
  problem.rounding = Rounding::half_even;
  if (form == "out") problem.out = dtype;
  set_codes(problem, form);
  problem.packed = form == "packed";
}

void set_layer(Problem& problem, DType dtype, std::string_view form) {
  set_norm(problem, dtype, false);
  problem.out = dtype;
  problem.cached = form == "rms+cached";
  problem.training = form == "rms+training" || form == "rms+residual";
  if (form == "rms+residual") problem.residual = problem.residual_out = dtype;
  if (problem.op == Operation::bit_linear_backward && form == "rms+dresidual") problem.dresidual = dtype;
}

/// What a form says of the values, behind its last +: `rms+zeros` is `rms` with Values::zeros.
struct ValuesOfForm {
  std::string_view form;
  std::optional<validate::Values> values;
};
ValuesOfForm values_of_form(std::string_view form, std::span<const std::string_view> forms) {
  const std::size_t plus = form.rfind('+');
  if (plus == std::string_view::npos || std::find(forms.begin(), forms.end(), form) != forms.end()) return {form, {}};
  const auto values = validate::values_named(form.substr(plus + 1));
  return values ? ValuesOfForm{form.substr(0, plus), values} : ValuesOfForm{form, {}};
}

/// Sets what the form says; operation, shape and type of x are set.
constexpr PerOperation<void (*)(Problem&, DType, std::string_view)> set_of = {set_forward, set_backward, set_quant,
                                                                              set_quant,   set_layer,    set_layer};

}  // namespace

std::span<const std::string_view> forms_of(Operation op) {
  static constexpr PerOperation<std::span<const std::string_view>> forms = {
      forward_forms, backward_forms, activation_forms, weight_forms, layer_forward_forms, layer_backward_forms};
  return forms[op];
}

std::vector<std::string> usual_forms_of(Operation op) {
  std::vector<std::string> usual;
  for (const std::string_view form : forms_of(op)) {
    const bool is_static = form.find("+static") != std::string_view::npos;
    if (!form.starts_with("fp8") && !is_static && form != "codes+residual") usual.emplace_back(form);
  }
  return usual;
}

std::optional<Case> make_case(Operation op, validate::Shape shape, DType dtype, std::string_view name) {
  const auto forms = forms_of(op);
  const auto [form, values] = values_of_form(name, forms);
  if (std::find(forms.begin(), forms.end(), form) == forms.end()) return std::nullopt;
  if (shape.k_out > 0 && !is_layer(op)) return std::nullopt;
  Problem problem;
  problem.op = op;
  problem.rows = shape.rows;
  problem.columns = shape.columns;
  if (is_layer(op) && shape.k_out != shape.columns) problem.k_out = shape.k_out;
  problem.x = dtype;
  problem.offset = form == "rms+unaligned" ? 1 : 0;
  problem.values =
      values.value_or(op == Operation::weight_quant ? validate::Values::normal : validate::Values::activations);
  set_of[op](problem, dtype, form);
  return Case{problem, std::string(name)};
}

std::string shape_text(const Problem& problem) {
  if (problem.k_out > 0) return fmt::format("{}x{}x{}", problem.rows, problem.columns, problem.k_out);
  return fmt::format("{}x{}", problem.rows, problem.columns);
}

std::string case_name(const Case& timed, std::string_view variant) {
  const Problem& problem = timed.problem;
  return fmt::format("{}/{}/{}/{}/{}", name_of(problem.op), variant, shape_text(problem), normquant::name_of(problem.x),
                     timed.form);
}

}  // namespace normquant::bench
