// Ternary codes of two bits in the orders of several libraries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/check/roles.hpp"

namespace normquant::check {

/// Why the shape is not that of a packed [rows, columns] matrix, and of which packing it is instead, if of one; empty when it is.
std::string wrong_packed_shape(const std::vector<std::int64_t>& shape, std::int64_t rows, std::int64_t columns,
                               Packing packing);

/// Reads the codes of a packed [rows, columns] matrix.
class PackedCodes {
 public:
  PackedCodes(const std::vector<unsigned char>& bytes, std::int64_t rows, std::int64_t columns, Packing packing);

  /// -1, 0 or 1; 2 where the two bits are no code.
  int at(std::int64_t row, std::int64_t column) const;
  /// Whether the bits of the row's bytes that belong to no element are as the packing leaves them.
  bool rest_is_clean(std::int64_t row) const;
  /// Elements that share a scale stored with them, 0 for packings that store none.
  std::int64_t block() const { return packing_ == Packing::tq2_0 ? tq2_0_block : 0; }
  /// The bits of the float16 scale of that block of the row.
  std::uint32_t scale_bits(std::int64_t row, std::int64_t block) const;

 private:
  static constexpr std::int64_t tq2_0_block = 256;
  unsigned two_bits(std::int64_t byte, std::int64_t place) const {
    return (bytes_[static_cast<std::size_t>(byte)] >> (2 * place)) & 3U;
  }

  const std::vector<unsigned char>& bytes_;
  std::int64_t rows_, columns_;
  Packing packing_;
};

}  // namespace normquant::check
