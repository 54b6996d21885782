// The tensors of an operation, by the names that operations.md gives them.
#pragma once

#include <span>
#include <string_view>

#include "validate/problem.hpp"

namespace normquant::check {

/// What a tensor is made of, for M rows and N columns.
enum class Place {
  matrix,   ///< M * N elements, the last dimension N
  packed,   ///< M * ceil(N / 4) bytes, the last dimension ceil(N / 4)
  rows,     ///< M elements
  columns,  ///< N elements
  single    ///< one element
};
enum class Content { floating, codes, bytes };

struct Role {
  std::string_view name;
  Place place = Place::matrix;
  bool output = false;  ///< is checked
  bool required = false;
  Content content = Content::floating;
};

/// The first role's shape says what M and N are. Empty for the layer, whose parts are checked one by one.
std::span<const Role> roles_of(validate::Operation op);

/// The names of all operations' roles, each once.
std::span<const std::string_view> all_roles();

}  // namespace normquant::check
