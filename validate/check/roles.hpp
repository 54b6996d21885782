// The tensors of an operation, by the names that operations.md gives them.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "validate/problem.hpp"

namespace normquant::check {

/// What `--op` says. `norm` is the norm alone, before quantisation; its problem is norm_quant_forward's.
enum class Op { forward, norm, backward, activation_quant, weight_quant };
inline constexpr Op all_ops[] = {Op::forward, Op::norm, Op::backward, Op::activation_quant, Op::weight_quant};
std::string_view name_of(Op op);
Operation operation_of(Op op);
/// `norm`, or any name that operation_named takes; nothing for the layer and for other words.
std::optional<Op> op_named(std::string_view name);

/// In which order the 2-bit codes of a [K_out, K_in] matrix are packed.
enum class Packing {
  normquant,     ///< four neighbours of a row to a byte, the first in the lowest bits
  transformers,  ///< rows r, r + R, r + 2 R, r + 3 R to row r of bytes, R = ceil(K_out / 4) (transformers' pack_weights)
  tq2_0  ///< blocks of 256 neighbours: 64 bytes, each of four elements 32 apart, and the scale in float16 (llama.cpp)
};
std::string_view name_of(Packing packing);
std::optional<Packing> packing_named(std::string_view wanted);

/// What a tensor is made of, for M rows and N columns.
enum class Place {
  matrix,   ///< M * N elements, the last dimension N
  packed,   ///< bytes, as the packing has them
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

/// The first role's shape says what M and N are.
std::span<const Role> roles_of(Op op);

/// The names of all operations' roles, each once.
std::span<const std::string_view> all_roles();

}  // namespace normquant::check
