// A tensor as a file holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace normquant::tensors {

/// Element types that files name and this project has a use for.
enum class Element {
  float64,
  float32,
  float16,
  bfloat16,
  int8,
  uint8,
  fp8_e4m3,
  bits8,  ///< a byte that the file calls nothing: how NumPy keeps ml_dtypes' float8_e4m3fn
  bits16  ///< 16 bits that the file calls an integer or nothing at all: how NumPy keeps bfloat16
};
std::string_view name_of(Element element);
constexpr std::size_t size_of(Element element) {
  switch (element) {
    case Element::float64: return 8;
    case Element::float32: return 4;
    case Element::int8:
    case Element::uint8:
    case Element::fp8_e4m3:
    case Element::bits8: return 1;
    case Element::float16:
    case Element::bfloat16:
    case Element::bits16: break;
  }
  return 2;
}

/// Most dimensions that a tensor in a file may have: as many as NumPy allows.
inline constexpr std::size_t most_dimensions = 64;

/// Little-endian elements in row-major order.
struct Tensor {
  Element element = Element::float32;
  std::vector<std::int64_t> shape;
  std::vector<unsigned char> bytes;
  std::uint64_t left_over = 0;  ///< bytes behind a .npy array, which NumPy leaves unread as well

  std::int64_t elements() const;
};

/// Bytes of a tensor of that shape; nothing when a dimension is negative or the product does not fit 63 bits.
std::optional<std::uint64_t> bytes_of(const std::vector<std::int64_t>& shape, Element element);

/// `[2, 3, 4]`.
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace normquant::tensors
