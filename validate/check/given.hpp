// What `normquant check` is given: tensors by role and the switches of the operation.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "validate/bounds.hpp"
#include "validate/check/packing.hpp"
#include "validate/check/roles.hpp"
#include "validate/code_grid.hpp"
#include "validate/host_tensor.hpp"
#include "validate/problem.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::check {

using Tensors = std::map<std::string, tensors::Tensor, std::less<>>;

/// What the command line says beside the tensors.
struct Switches {
  Op op = Op::forward;
  validate::Problem problem;  ///< op, norm, rounding, h_source and eps
  validate::Algorithm algorithm = validate::Algorithm::any;
  std::optional<DType> y_type;      ///< y is rounded to this type before it is quantised; nothing: it stays float32
  std::optional<DType> arithmetic;  ///< of the norm alone: each step is rounded to this type; nothing: to float32
  Packing packing = Packing::normquant;
  Product product = Product::any;              ///< of the layer's forward
  validate::Slip slip = validate::Slip::none;  ///< codes are those of this mistake
  bool drops_linear_bias = false;              ///< another: the layer's forward without it
  bool scale_of_int8 = false;                  ///< another: fp8 codes by 127 / absmax
};

/// One question: every tensor has the shape that its role asks for.
struct Given {
  Switches switches;
  validate::Problem problem;                                             ///< shape, types, switches
  std::map<std::string, validate::HostTensor, std::less<>> floating;     ///< [M, N], [M, K_out], [K_out, N], or one row
  std::map<std::string, std::vector<unsigned char>, std::less<>> bytes;  ///< codes and packed, dense rows

  const validate::HostTensor* tensor(std::string_view role) const {
    const auto found = floating.find(role);
    return found == floating.end() ? nullptr : &found->second;
  }
  const std::vector<unsigned char>* dense(std::string_view role) const {
    const auto found = bytes.find(role);
    return found == bytes.end() ? nullptr : &found->second;
  }
};

/// Gives every tensor its place; shape and types of the problem are filled in. Nothing, and in `why` which tensor is wrong or
/// missing and what it should be, when they are no such problem.
std::optional<Given> arrange(const Switches& switches, Tensors tensors, std::string& why);

}  // namespace normquant::check
