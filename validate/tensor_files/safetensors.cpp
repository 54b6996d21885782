#include "validate/tensor_files/safetensors.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace normquant::tensors {
namespace {

/// What the loader of the format's authors reads at most.
constexpr std::uint64_t longest_safetensors_header = 100'000'000;

std::optional<std::uint64_t> header_length(ByteSource& bytes) {
  std::array<unsigned char, 9> start{};
  if (!bytes.read(0, start)) return std::nullopt;
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = 256 * length + start[i];
  const bool blank = start[8] == ' ' || start[8] == '\n' || start[8] == '\t' || start[8] == '\r';
  // A brace says enough; blanks before it could be anybody's.
  return start[8] == '{' || (blank && length <= bytes.size() - 8) ? std::optional(length) : std::nullopt;
}

std::optional<Element> element_of_name(std::string_view type) {
  constexpr std::pair<std::string_view, Element> known[] = {
      {"F64", Element::float64},   {"F32", Element::float32}, {"F16", Element::float16},
      {"BF16", Element::bfloat16}, {"I8", Element::int8},     {"U8", Element::uint8},
      {"I16", Element::bits16},    {"U16", Element::bits16},  {"F8_E4M3", Element::fp8_e4m3}};
  for (const auto& [name, element] : known) {
    if (name == type) return element;
  }
  return std::nullopt;
}

}  // namespace

bool looks_like_safetensors(ByteSource& bytes) { return header_length(bytes).has_value(); }

std::optional<SafetensorsHeader> read_safetensors_header(ByteSource& bytes, std::string& why) {
  const auto length = header_length(bytes);
  if (!length) {
    why = "it does not begin as a .safetensors file does";
    return std::nullopt;
  }
  if (*length > bytes.size() - 8) {
    why = fmt::format("the header claims {} bytes, and the file has {} after its length; it was cut off", *length,
                      bytes.size() - 8);
    return std::nullopt;
  }
  if (*length > longest_safetensors_header) {
    why = fmt::format("the header takes {} bytes; up to {} are read", *length, longest_safetensors_header);
    return std::nullopt;
  }
  std::vector<unsigned char> text(*length);
  if (!bytes.read(8, text)) {
    why = "the file could not be read to the end of its header";
    return std::nullopt;
  }
  const std::uint64_t data_start = 8 + *length;
  auto header = parse_safetensors_header(text, bytes.size() - data_start, why);
  if (!header) return std::nullopt;
  for (auto& [name, entry] : *header) {
    entry.begin += data_start;
    entry.end += data_start;
  }
  return header;
}

std::optional<Tensor> read_safetensors(ByteSource& bytes, const SafetensorsEntry& entry, std::string& why) {
  const auto element = element_of_name(entry.type);
  if (!element) {
    why = fmt::format("its elements are '{}'; known are F32, F16, BF16, F64, I8 and U8", entry.type.substr(0, 20));
    return std::nullopt;
  }
  Tensor tensor{*element, entry.shape, std::vector<unsigned char>(entry.end - entry.begin)};
  if (bytes.read(entry.begin, tensor.bytes)) return tensor;
  why = "the file could not be read to its end";
  return std::nullopt;
}

}  // namespace normquant::tensors
