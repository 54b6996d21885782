#include "validate/tensor_files/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "validate/tensor_files/npy_header.hpp"

namespace normquant::tensors {
namespace {

constexpr std::array<unsigned char, 6> magic = {0x93, 'N', 'U', 'M', 'P', 'Y'};
/// NumPy itself refuses longer ones.
constexpr std::uint32_t longest_npy_header = 10000;

/// The header's text; empty, and `why` filled, when there is none. `data` is where the elements start.
std::string header_text(ByteSource& bytes, int& version, std::uint64_t& data, std::string& why) {
  std::array<unsigned char, 12> start{};
  const auto cut_off = [&why] {
    why = "the file ends within the header of a .npy array; it was cut off";
    return std::string{};
  };
  if (!bytes.read(0, std::span(start).first(10))) return cut_off();
  version = start[6];
  if (version < 1 || version > 3) {
    why = fmt::format("the .npy format has versions 1 to 3, and the file says {}", version);
    return {};
  }
  std::uint32_t length = start[8] + 256U * start[9];
  data = 10;
  if (version > 1) {
    if (!bytes.read(0, start)) return cut_off();
    length += (static_cast<std::uint32_t>(start[10]) << 16) + (static_cast<std::uint32_t>(start[11]) << 24);
    data = 12;
  }
  if (length > longest_npy_header) {
    why = fmt::format("the header of the .npy array claims {} bytes; NumPy reads up to {}", length, longest_npy_header);
    return {};
  }
  std::vector<unsigned char> text(length);
  if (!bytes.read(data, text)) return cut_off();
  data += length;
  if (text.empty()) why = "the header of the .npy array is empty";
  return {text.begin(), text.end()};
}

/// Turns big-endian elements into little-endian ones.
void reverse_each(std::vector<unsigned char>& bytes, std::size_t size) {
  for (auto first = bytes.begin(); first != bytes.end(); first += static_cast<std::ptrdiff_t>(size)) {
    std::reverse(first, first + static_cast<std::ptrdiff_t>(size));
  }
}

/// The bytes of a tensor whose first dimension runs fastest (Fortran's order), with the last one fastest.
std::vector<unsigned char> rows_first(Tensor& tensor) {
  const auto longer_than_one = [](std::int64_t length) { return length > 1; };
  if (tensor.bytes.empty() || std::count_if(tensor.shape.begin(), tensor.shape.end(), longer_than_one) < 2) {
    return std::move(tensor.bytes);  // both orders are the same
  }
  const std::size_t size = size_of(tensor.element), dimensions = tensor.shape.size();
  std::vector<std::size_t> lengths(tensor.shape.begin(), tensor.shape.end()), steps(dimensions, size);
  for (std::size_t d = 1; d < dimensions; ++d) steps[d] = steps[d - 1] * lengths[d - 1];
  std::vector<std::size_t> index(dimensions, 0);
  std::vector<unsigned char> ordered(tensor.bytes.size());
  std::size_t from = 0;
  for (std::size_t to = 0; to < ordered.size(); to += size) {
    std::memcpy(ordered.data() + to, tensor.bytes.data() + from, size);
    for (std::size_t d = dimensions; d-- > 0;) {  // the next index: the last dimension first
      from += steps[d];
      if (++index[d] < lengths[d]) break;
      from -= steps[d] * lengths[d];
      index[d] = 0;
    }
  }
  return ordered;
}

}  // namespace

bool looks_like_npy(ByteSource& bytes) {
  std::array<unsigned char, magic.size()> start{};
  return bytes.read(0, start) && start == magic;
}

std::optional<Tensor> read_npy(ByteSource& bytes, std::string& why) {
  std::uint64_t data = 0;
  int version = 0;
  if (!looks_like_npy(bytes)) {
    why = "it does not begin as a .npy array does";
    return std::nullopt;
  }
  const std::string text = header_text(bytes, version, data, why);
  if (text.empty()) return std::nullopt;
  const auto header = parse_npy_header(text, version);
  if (!header) {
    why = "the header of the .npy array is not {'descr': '...', 'fortran_order': ..., 'shape': (...)} of plain numbers";
    return std::nullopt;
  }
  const auto elements = elements_of_descr(header->descr);
  if (!elements) {
    why = fmt::format(
        "its elements are '{}'; known are float32, float16, float64, int8, uint8 and, for bfloat16, any type of 16 "
        "bits",
        header->descr.substr(0, 20));
    return std::nullopt;
  }
  const Element element = elements->element;
  const auto size = bytes_of(header->shape, element);
  if (!size) {
    why = fmt::format("its shape {} is impossible", shape_text(header->shape));
    return std::nullopt;
  }
  const std::uint64_t there = bytes.size() - data;
  if (*size > there) {
    why = fmt::format("shape {} of {} takes {} bytes, and the file holds {}; it was cut off", shape_text(header->shape),
                      name_of(element), *size, there);
    return std::nullopt;
  }
  Tensor tensor{element, header->shape, std::vector<unsigned char>(*size), there - *size};
  if (!bytes.read(data, tensor.bytes)) {
    why = "the file could not be read to its end";
    return std::nullopt;
  }
  if (elements->big_endian) reverse_each(tensor.bytes, size_of(element));
  if (header->fortran_order) tensor.bytes = rows_first(tensor);
  return tensor;
}

}  // namespace normquant::tensors
