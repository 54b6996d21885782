// What `normquant check` is given: tensors by role and the switches of the operation.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "validate/check/roles.hpp"
#include "validate/host_tensor.hpp"
#include "validate/problem.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::check {

using Tensors = std::map<std::string, tensors::Tensor, std::less<>>;

/// One question: every tensor has the shape that its role asks for.
struct Given {
  validate::Problem problem;                                             ///< shape, types, switches
  std::map<std::string, validate::HostTensor, std::less<>> floating;     ///< [M, N], [1, M], [1, N] or [1, 1]
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

/// Gives every tensor its place. `switches` has op, norm, rounding, h_source and eps; shape and types are filled in.
/// Nothing, and in `why` which tensor is wrong or missing and what it should be, when they are no such problem.
std::optional<Given> arrange(const validate::Problem& switches, Tensors tensors, std::string& why);

}  // namespace normquant::check
