#include "validate/check/roles.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace normquant::check {
namespace {

constexpr bool input = false, output = true, required = true, optional = false;

constexpr Role forward_roles[] = {
    {"x", Place::matrix, input, required},
    {"residual", Place::matrix, input, optional},
    {"weight", Place::columns, input, optional},
    {"bias", Place::columns, input, optional},
    {"out", Place::matrix, output, optional},
    {"codes", Place::matrix, output, optional, Content::codes},
    {"dequant_scale", Place::rows, output, optional},
    {"mean", Place::rows, output, optional},
    {"rstd", Place::rows, output, optional},
    {"quant_scale", Place::rows, output, optional},
    {"residual_out", Place::matrix, output, optional},
};
constexpr Role norm_roles[] = {
    {"x", Place::matrix, input, required, Content::floating},
    {"residual", Place::matrix, input, optional},
    {"weight", Place::columns, input, optional},
    {"bias", Place::columns, input, optional},
    {"y", Place::matrix, output, optional},
    {"mean", Place::rows, output, optional},
    {"rstd", Place::rows, output, optional},
    {"residual_out", Place::matrix, output, optional},
};
constexpr Role backward_roles[] = {
    {"h", Place::matrix, input, required},
    {"dy", Place::matrix, input, required},
    {"weight", Place::columns, input, optional},
    {"bias", Place::columns, input, optional},
    {"mean", Place::rows, input, optional},
    {"rstd", Place::rows, input, required},
    {"quant_scale", Place::rows, input, optional},
    {"dresidual", Place::matrix, input, optional},
    {"dx", Place::matrix, output, optional},
    {"dx_residual", Place::matrix, output, optional},
    {"dweight", Place::columns, output, optional},
    {"dbias", Place::columns, output, optional},
    {"out", Place::matrix, output, optional},
    {"codes", Place::matrix, output, optional, Content::codes},
    {"dequant_scale", Place::rows, output, optional},
};
constexpr Role activation_roles[] = {
    {"x", Place::matrix, input, required},
    {"out", Place::matrix, output, optional},
    {"codes", Place::matrix, output, optional, Content::codes},
    {"dequant_scale", Place::rows, output, optional},
    {"quant_scale", Place::rows, output, optional},
};
constexpr Role weight_roles[] = {
    {"w", Place::matrix, input, required},
    {"out", Place::matrix, output, optional},
    {"codes", Place::matrix, output, optional, Content::codes},
    {"packed", Place::packed, output, optional, Content::bytes},
    {"dequant_factor", Place::single, output, optional},
};
constexpr Role layer_forward_roles[] = {
    {"x", Place::matrix, input, required},
    {"linear_weight", Place::weights, input, required},
    {"residual", Place::matrix, input, optional},
    {"norm_weight", Place::columns, input, optional},
    {"norm_bias", Place::columns, input, optional},
    {"linear_bias", Place::features, input, optional},
    {"out", Place::outputs, output, optional},
    {"w_q", Place::weights, output, optional},
    {"mean", Place::rows, output, optional},
    {"rstd", Place::rows, output, optional},
    {"residual_out", Place::matrix, output, optional},
};
constexpr Role layer_backward_roles[] = {
    {"h", Place::matrix, input, required},
    {"w_q", Place::weights, input, required},
    {"dout", Place::outputs, input, required},
    {"norm_weight", Place::columns, input, optional},
    {"norm_bias", Place::columns, input, optional},
    {"mean", Place::rows, input, optional},
    {"rstd", Place::rows, input, required},
    {"quant_scale", Place::rows, input, optional},
    {"dresidual", Place::matrix, input, optional},
    {"dx", Place::matrix, output, optional},
    {"dx_residual", Place::matrix, output, optional},
    {"dnorm_weight", Place::columns, output, optional},
    {"dnorm_bias", Place::columns, output, optional},
    {"dlinear_weight", Place::weights, output, optional},
    {"dlinear_bias", Place::features, output, optional},
};

struct Row {
  Operation operation;
  std::span<const Role> roles;
};
/// In the order of the enumeration.
constexpr Row op_rows[] = {{Operation::norm_quant_forward, forward_roles},
                           {Operation::norm_quant_forward, norm_roles},
                           {Operation::norm_quant_backward, backward_roles},
                           {Operation::activation_quant, activation_roles},
                           {Operation::weight_quant, weight_roles},
                           {Operation::bit_linear_forward, layer_forward_roles},
                           {Operation::bit_linear_backward, layer_backward_roles}};
static_assert(std::size(op_rows) == std::size(all_ops));
constexpr const Row& row_of(Op op) { return op_rows[static_cast<std::size_t>(op)]; }

constexpr std::pair<Packing, std::string_view> packings[] = {
    {Packing::normquant, "normquant"}, {Packing::transformers, "transformers"}, {Packing::tq2_0, "tq2_0"}};

/// In the order of the enumeration.
constexpr std::string_view products[] = {"any", "codes", "float32", "bfloat16", "float16"};
static_assert(std::size(products) == std::size(all_products));

}  // namespace

std::string_view name_of(Op op) { return op == Op::norm ? "norm" : normquant::name_of(operation_of(op)); }

Operation operation_of(Op op) { return row_of(op).operation; }

std::optional<Op> op_named(std::string_view name) {
  if (name == name_of(Op::norm)) return Op::norm;
  const auto operation = operation_named(name);
  for (Op op : all_ops) {
    if (operation == operation_of(op)) return op;
  }
  return std::nullopt;
}

std::string_view name_of(Packing packing) {
  for (const auto& [known, name] : packings) {
    if (known == packing) return name;
  }
  return {};
}

std::optional<Packing> packing_named(std::string_view wanted) {
  for (const auto& [known, name] : packings) {
    if (name == wanted) return known;
  }
  return std::nullopt;
}

std::string_view name_of(Product product) { return products[static_cast<std::size_t>(product)]; }

std::optional<Product> product_named(std::string_view wanted) {
  for (Product product : all_products) {
    if (name_of(product) == wanted) return product;
  }
  return std::nullopt;
}

std::span<const Role> roles_of(Op op) { return row_of(op).roles; }

std::span<const std::string_view> all_roles() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> found;
    for (Op op : all_ops) {
      for (const Role& role : roles_of(op)) {
        if (std::find(found.begin(), found.end(), role.name) == found.end()) found.push_back(role.name);
      }
    }
    return found;
  }();
  return names;
}

}  // namespace normquant::check
