// Tensors by role from the files that a command line names.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "validate/check/given.hpp"

namespace normquant::check {

/// What the command line says about tensors.
struct Sources {
  std::vector<std::string> files;  ///< whose tensors are called as the roles are
  std::map<std::string, std::string, std::less<>>
      roles;                       ///< role -> FILE, or FILE:NAME or FILE::NAME of a tensor in it
  std::vector<std::string> types;  ///< ROLE=TYPE: what 16 bits without a type are
};

struct Loaded {
  Tensors tensors;
  std::vector<std::string> ignored;      ///< tensors of `files` that are no role of the operation, bytes behind arrays
  std::vector<std::string> other_names;  ///< of those the tensors, which another name might make one
};

/// Reads them. Nothing, and in `why` the file, the tensor and what is wrong, when one cannot be had.
std::optional<Loaded> load(Op op, const Sources& sources, std::string& why);

}  // namespace normquant::check
