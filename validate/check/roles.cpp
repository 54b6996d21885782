#include "validate/check/roles.hpp"

#include <algorithm>
#include <vector>

namespace normquant::check {
namespace {

using validate::Operation;

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
};
constexpr Role weight_roles[] = {
    {"w", Place::matrix, input, required},
    {"out", Place::matrix, output, optional},
    {"codes", Place::matrix, output, optional, Content::codes},
    {"packed", Place::packed, output, optional, Content::bytes},
    {"dequant_factor", Place::single, output, optional},
};

}  // namespace

std::span<const Role> roles_of(Operation op) {
  switch (op) {
    case Operation::norm_quant_forward: return forward_roles;
    case Operation::norm_quant_backward: return backward_roles;
    case Operation::activation_quant: return activation_roles;
    case Operation::weight_quant: return weight_roles;
    case Operation::bit_linear_forward:
    case Operation::bit_linear_backward: break;
  }
  return {};
}

std::span<const std::string_view> all_roles() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> found;
    for (Operation op : validate::all_operations) {
      for (const Role& role : roles_of(op)) {
        if (std::find(found.begin(), found.end(), role.name) == found.end()) found.push_back(role.name);
      }
    }
    return found;
  }();
  return names;
}

}  // namespace normquant::check
