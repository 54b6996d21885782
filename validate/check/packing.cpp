#include "validate/check/packing.hpp"

#include <fmt/format.h>

#include <normquant/weight_quant.hpp>

#include "validate/tensor_files/tensor.hpp"

namespace normquant::check {
namespace {

constexpr std::int64_t tq2_0_bytes = 66;  // 64 of codes, two of the scale
constexpr std::int64_t tq2_0_codes = 64;  // bytes before the scale
constexpr Packing all_packings[] = {Packing::normquant, Packing::transformers, Packing::tq2_0};

std::int64_t quarter_of(std::int64_t rows) { return (rows + 3) / 4; }

/// Bytes in the last dimension, and all of them; 0 where no such matrix can be packed so.
struct Extent {
  std::int64_t last = 0, all = 0;
};
Extent extent_of(std::int64_t rows, std::int64_t columns, Packing packing) {
  switch (packing) {
    case Packing::normquant: return {packed_row_bytes(columns), rows * packed_row_bytes(columns)};
    case Packing::transformers: return {columns, quarter_of(rows) * columns};
    case Packing::tq2_0: break;
  }
  if (columns % 256 != 0) return {};
  return {columns / 256 * tq2_0_bytes, rows * (columns / 256) * tq2_0_bytes};
}

bool fits(const std::vector<std::int64_t>& shape, const Extent& extent) {
  std::int64_t all = 1;
  for (std::int64_t length : shape) all *= length;
  return extent.last > 0 && !shape.empty() && shape.back() == extent.last && all == extent.all;
}

}  // namespace

std::string wrong_packed_shape(const std::vector<std::int64_t>& shape, std::int64_t rows, std::int64_t columns,
                               Packing packing) {
  const Extent extent = extent_of(rows, columns, packing);
  if (fits(shape, extent)) return {};
  std::string why = fmt::format("packed has shape {}; ", tensors::shape_text(shape));
  if (extent.last == 0) {
    why += fmt::format("{} packs rows of a multiple of 256 columns, and these have {}", name_of(packing), columns);
  } else {
    why += fmt::format("with M {} and N {} the packing {} has {} bytes, {} in the last dimension", rows, columns,
                       name_of(packing), extent.all, extent.last);
  }
  for (Packing other : all_packings) {
    if (fits(shape, extent_of(rows, columns, other))) {
      why += fmt::format("; it has the shape of --packing {}", name_of(other));
    }
  }
  return why;
}

PackedCodes::PackedCodes(const std::vector<unsigned char>& bytes, std::int64_t rows, std::int64_t columns,
                         Packing packing)
    : bytes_(bytes), rows_(rows), columns_(columns), packing_(packing) {}

int PackedCodes::at(std::int64_t row, std::int64_t column) const {
  unsigned bits = 0;
  switch (packing_) {
    case Packing::normquant: bits = two_bits(row * packed_row_bytes(columns_) + column / 4, column % 4); break;
    case Packing::transformers: {
      const std::int64_t quarter = quarter_of(rows_);
      bits = two_bits(row % quarter * columns_ + column, row / quarter);
      break;
    }
    case Packing::tq2_0: {
      const std::int64_t block = row * (columns_ / tq2_0_block) + column / tq2_0_block;
      const std::int64_t half = column % tq2_0_block / 128, place = column % 128;
      bits = two_bits(block * tq2_0_bytes + 32 * half + place % 32, place / 32);
      break;
    }
  }
  return static_cast<int>(bits) - 1;
}

bool PackedCodes::rest_is_clean(std::int64_t row) const {
  if (packing_ == Packing::normquant) {
    const std::int64_t bytes = packed_row_bytes(columns_);
    for (std::int64_t j = columns_; j < 4 * bytes; ++j) {
      if (two_bits(row * bytes + j / 4, j % 4) != 1) return false;  // code 0
    }
  }
  if (packing_ == Packing::transformers && row == rows_ - 1) {
    const std::int64_t quarter = quarter_of(rows_);
    for (std::int64_t missing = rows_; missing < 4 * quarter; ++missing) {
      for (std::int64_t j = 0; j < columns_; ++j) {
        if (two_bits(missing % quarter * columns_ + j, missing / quarter) != 0) return false;
      }
    }
  }
  return true;
}

std::uint32_t PackedCodes::scale_bits(std::int64_t row, std::int64_t block) const {
  const std::int64_t first = (row * (columns_ / tq2_0_block) + block) * tq2_0_bytes + tq2_0_codes;
  const auto at = static_cast<std::size_t>(first);
  return bytes_[at] + 256U * bytes_[at + 1];
}

}  // namespace normquant::check
