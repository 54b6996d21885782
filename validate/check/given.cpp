#include "validate/check/given.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace normquant::check {
namespace {

using tensors::Element;
using tensors::Tensor;
using validate::HostTensor;
using validate::Problem;

std::optional<DType> dtype_of(Element element) {
  switch (element) {
    case Element::float32: return DType::float32;
    case Element::float16: return DType::float16;
    case Element::bfloat16: return DType::bfloat16;
    default: return std::nullopt;
  }
}

/// Why the elements are not of the kind that the role asks for; empty when they are.
std::string wrong_elements(const Role& role, Element element, QuantFormat format) {
  if (role.content == Content::codes && format == QuantFormat::fp8_e4m3) {
    return tensors::size_of(element) == 1
               ? std::string{}
               : fmt::format("{} holds {}; codes of --format fp8_e4m3 are float8_e4m3fn, or a byte each", role.name,
                             name_of(element));
  }
  if (role.content == Content::codes && element == Element::fp8_e4m3) {
    return fmt::format("{} holds {}; say --format fp8_e4m3, or give int8", role.name, name_of(element));
  }
  if (role.content == Content::codes && element != Element::int8) {
    return fmt::format("{} holds {}; codes are int8", role.name, name_of(element));
  }
  if (role.content == Content::bytes && element != Element::uint8) {
    return fmt::format("{} holds {}; packed codes are uint8, four to a byte", role.name, name_of(element));
  }
  if (role.content != Content::floating || dtype_of(element)) return {};
  if (element == Element::bits16) {
    return fmt::format("{} holds 16 bits without a floating type; if they are bfloat16, say --as {}=bfloat16",
                       role.name, role.name);
  }
  return fmt::format("{} holds {}; it must be float32, float16 or bfloat16, as the kernel itself read or wrote it",
                     role.name, name_of(element));
}

/// Why the shape is not what the role asks for; empty when it is.
std::string wrong_shape(const Role& role, const Tensor& tensor, const Problem& p, Packing packing) {
  const std::int64_t last = tensor.shape.empty() ? 1 : tensor.shape.back(), all = tensor.elements();
  const std::string sizes = is_layer(p.op) ? fmt::format("M {}, K_in {} and K_out {}", p.rows, p.columns, p.k_out)
                                           : fmt::format("M {} and N {}", p.rows, p.columns);
  const auto unless = [&](bool fits, const std::string& wanted) {
    return fits ? std::string{}
                : fmt::format("{} has shape {}; with {} it must have {}", role.name, tensors::shape_text(tensor.shape),
                              sizes, wanted);
  };
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    return unless(last == columns && all == rows * columns,
                  fmt::format("{} elements, {} in the last dimension", rows * columns, columns));
  };
  switch (role.place) {
    case Place::matrix: return matrix(p.rows, p.columns);
    case Place::outputs: return matrix(p.rows, p.k_out);
    case Place::weights:
      return unless(tensor.shape == std::vector<std::int64_t>{p.k_out, p.columns},
                    fmt::format("[K_out, K_in], [{}, {}]", p.k_out, p.columns));
    case Place::features: return unless(all == p.k_out, fmt::format("{} elements", p.k_out));
    case Place::packed: return wrong_packed_shape(tensor.shape, p.rows, p.columns, packing);
    case Place::rows: return unless(all == p.rows, fmt::format("{} elements", p.rows));
    case Place::columns: return unless(all == p.columns, fmt::format("{} elements", p.columns));
    case Place::single: return unless(all == 1, "one element");
  }
  return {};
}

/// M and N from the first role's tensor: all dimensions but the last are rows.
bool take_shape(const Role& role, const Tensor& tensor, Problem& p, std::string& why) {
  const std::int64_t columns = tensor.shape.empty() ? 0 : tensor.shape.back();
  if (columns < 1) {
    why = fmt::format("{} has shape {}; its last dimension is N and must be 1 or more", role.name,
                      tensors::shape_text(tensor.shape));
    return false;
  }
  p.columns = columns;
  p.rows = tensor.elements() / columns;
  return true;
}

/// K_out from the first tensor of weights.
bool take_outputs(const Role& role, const Tensor& tensor, Problem& p, std::string& why) {
  if (role.place != Place::weights || p.k_out > 0) return true;
  const std::vector<std::int64_t>& shape = tensor.shape;
  if (shape.size() == 2 && shape[0] > 0 && shape[1] == p.columns) {
    p.k_out = shape[0];
    return true;
  }
  const bool transposed = shape.size() == 2 && shape[0] == p.columns && shape[1] > 0;
  why = fmt::format("{} has shape {}; it must be [K_out, K_in], with K_out 1 or more and K_in {}{}", role.name,
                    tensors::shape_text(shape), p.columns, transposed ? ": give its transpose" : "");
  return false;
}

/// Notes the tensor's type where the problem has a member for it.
void note_type(std::string_view role, DType type, Problem& p) {
  const std::pair<std::string_view, std::optional<DType>*> members[] = {{"residual", &p.residual},
                                                                        {"residual_out", &p.residual_out},
                                                                        {"weight", &p.weight},
                                                                        {"bias", &p.bias},
                                                                        {"out", &p.out},
                                                                        {"dy", &p.dy},
                                                                        {"dx", &p.dx},
                                                                        {"dresidual", &p.dresidual},
                                                                        {"dx_residual", &p.dx_residual},
                                                                        {"norm_weight", &p.weight},
                                                                        {"norm_bias", &p.bias},
                                                                        {"linear_weight", &p.linear_weight},
                                                                        {"linear_bias", &p.linear_bias},
                                                                        {"w_q", &p.operand},
                                                                        {"dlinear_weight", &p.out}};
  for (const auto& [name, member] : members) {
    if (name == role) *member = type;
  }
  if (role == "x" || role == "h" || role == "w") p.x = type;
  if (role == "quant_scale") p.save_quant_scale = true;
}

/// What the switches ask of the tensors beside each one's own shape.
std::string wrong_combination(const Given& given) {
  const Problem& p = given.problem;
  const bool mean = given.tensor("mean") != nullptr, layer = p.norm == NormKind::layer;
  if (given.switches.y_type && given.switches.op != Op::forward) return "--y-type has a meaning for forward only";
  if (given.switches.arithmetic && given.switches.op != Op::norm) return "--arithmetic has a meaning for norm only";
  if (p.quantisation.has_static_scale()) {
    for (const char* role : {"dequant_scale", "quant_scale"}) {
      if (given.tensor(role) != nullptr)
        return fmt::format("{} is given, but there is none a row where --static-scale is said", role);
    }
  }
  if (mean && !layer) return "mean is given, but --norm rms has none";
  if ((p.op == Operation::norm_quant_backward || p.op == Operation::bit_linear_backward) && layer && !mean)
    return "--norm layer needs mean, as the forward left it";
  const bool forward = p.op == Operation::norm_quant_forward || p.op == Operation::bit_linear_forward;
  if (forward && p.h_source == HSource::stored && p.residual && !p.residual_out) {
    return "--h-source stored needs residual_out, whose type is the one that h was rounded to";
  }
  return {};
}

std::vector<std::string_view> outputs_of(Op op) {
  std::vector<std::string_view> names;
  for (const Role& role : roles_of(op)) {
    if (role.output) names.push_back(role.name);
  }
  return names;
}

bool any_output(Op op, const Tensors& tensors) {
  const auto roles = roles_of(op);
  return std::any_of(roles.begin(), roles.end(),
                     [&](const Role& role) { return role.output && tensors.contains(role.name); });
}

}  // namespace

std::optional<Given> arrange(const Switches& switches, Tensors tensors, std::string& why) {
  Given given{switches, switches.problem, {}, {}};
  Problem& p = given.problem;
  const auto roles = roles_of(switches.op);
  for (const Role& role : roles) {
    const auto found = tensors.find(role.name);
    if (found == tensors.end()) {
      if (!role.required) continue;
      why = fmt::format("{} is not given; {} needs it", role.name, name_of(switches.op));
      return std::nullopt;
    }
    Tensor& tensor = found->second;
    why = wrong_elements(role, tensor.element, p.quantisation.format);
    if (!why.empty() || (&role == roles.data() && !take_shape(role, tensor, p, why))) return std::nullopt;
    if (!take_outputs(role, tensor, p, why)) return std::nullopt;
    why = wrong_shape(role, tensor, p, switches.packing);
    if (!why.empty()) return std::nullopt;
    if (role.content != Content::floating) {
      (role.content == Content::codes ? p.codes : p.packed) = true;
      given.bytes.emplace(role.name, std::move(tensor.bytes));
      continue;
    }
    const DType type = *dtype_of(tensor.element);
    note_type(role.name, type, p);
    const std::int64_t rows = !has_rows(role.place) ? 1 : role.place == Place::weights ? p.k_out : p.rows;
    const std::int64_t columns = !has_rows(role.place)          ? tensor.elements()
                                 : role.place == Place::outputs ? p.k_out
                                                                : p.columns;
    given.floating.emplace(role.name, HostTensor{type, rows, columns, std::move(tensor.bytes)});
  }
  why = wrong_combination(given);
  if (why.empty() && !any_output(switches.op, tensors)) {
    why = fmt::format("no output of {} is given; there are {}", name_of(switches.op),
                      fmt::join(outputs_of(switches.op), ", "));
  }
  if (!why.empty()) return std::nullopt;
  return given;
}

}  // namespace normquant::check
