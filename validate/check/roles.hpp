// The tensors of an operation, by the names that operations.md gives them.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "validate/problem.hpp"

namespace normquant::check {

/// What `--op` says. `norm` is the norm alone, before quantisation; its problem is norm_quant_forward's.
enum class Op { forward, norm, backward, activation_quant, weight_quant, layer_forward, layer_backward };
inline constexpr Op all_ops[] = {Op::forward,      Op::norm,          Op::backward,      Op::activation_quant,
                                 Op::weight_quant, Op::layer_forward, Op::layer_backward};
/// The names that `--op` takes, for sentences.
inline constexpr std::string_view known_ops =
    "forward, norm, backward, activation_quant, weight_quant, bit_linear_forward and bit_linear_backward";
std::string_view name_of(Op op);
Operation operation_of(Op op);
/// `norm`, or any name that operation_named takes; nothing for other words.
std::optional<Op> op_named(std::string_view name);

/// In which order the 2-bit codes of a [K_out, K_in] matrix are packed.
enum class Packing {
  normquant,     ///< four neighbours of a row to a byte, the first in the lowest bits
  transformers,  ///< rows r, r + R, r + 2 R, r + 3 R to row r of bytes, R = ceil(K_out / 4) (transformers' pack_weights)
  tq2_0  ///< blocks of 256 neighbours: 64 bytes, each of four elements 32 apart, and the scale in float16 (llama.cpp)
};
std::string_view name_of(Packing packing);
std::optional<Packing> packing_named(std::string_view wanted);

/// What the layer multiplies. Products of codes are scaled afterwards; operands are codes times their scale, in a type.
enum class Product { any, codes, float32, bfloat16, float16 };
inline constexpr Product all_products[] = {Product::any, Product::codes, Product::float32, Product::bfloat16,
                                           Product::float16};
std::string_view name_of(Product product);
std::optional<Product> product_named(std::string_view wanted);

/// What a tensor is made of, for M rows and N columns (the layer's K_in).
enum class Place {
  matrix,    ///< M * N elements, the last dimension N
  packed,    ///< bytes, as the packing has them
  rows,      ///< M elements
  columns,   ///< N elements
  single,    ///< one element
  weights,   ///< [K_out, N]; the first such tensor says what K_out is
  outputs,   ///< M * K_out elements, the last dimension K_out
  features,  ///< K_out elements
};
constexpr bool has_rows(Place place) {
  return place == Place::matrix || place == Place::weights || place == Place::outputs;
}
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
