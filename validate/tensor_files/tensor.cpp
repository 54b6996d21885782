#include "validate/tensor_files/tensor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

namespace normquant::tensors {

std::string_view name_of(Element element) {
  switch (element) {
    case Element::float64: return "float64";
    case Element::float32: return "float32";
    case Element::float16: return "float16";
    case Element::bfloat16: return "bfloat16";
    case Element::int8: return "int8";
    case Element::uint8: return "uint8";
    case Element::fp8_e4m3: return "float8_e4m3fn";
    case Element::bits8: return "8 bits";
    case Element::bits16: break;
  }
  return "16 bits";
}

std::int64_t Tensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::optional<std::uint64_t> bytes_of(const std::vector<std::int64_t>& shape, Element element) {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  std::uint64_t bytes = size_of(element);
  bool empty = false;
  for (std::int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty = empty || dimension == 0;
    const auto length = static_cast<std::uint64_t>(dimension);
    if (length > 0 && bytes > most / length) return std::nullopt;
    bytes *= length > 0 ? length : 1;
  }
  return empty ? 0 : bytes;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace normquant::tensors
