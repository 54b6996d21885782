#include "validate/tensor_files/safetensors.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>
#include <nlohmann/json.hpp>

namespace normquant::tensors {
namespace {

using nlohmann::json;

/// The format allows 100 MB; a model's header takes one.
constexpr std::uint64_t longest_safetensors_header = std::uint64_t{16} << 20;

std::optional<std::uint64_t> header_length(ByteSource& bytes) {
  std::array<unsigned char, 9> start{};
  if (!bytes.read(0, start) || start[8] != '{') return std::nullopt;
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = 256 * length + start[i];
  return length;
}

/// A whole number from 0 to 2^62.
std::optional<std::uint64_t> count_of(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<std::uint64_t>();
  return number <= std::uint64_t{1} << 62 ? std::optional(number) : std::nullopt;
}

/// `data_start` and `data_size` say where the tensors' bytes lie in the file.
std::optional<SafetensorsEntry> entry_of(const json& value, std::uint64_t data_start, std::uint64_t data_size) {
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets")) {
    return std::nullopt;
  }
  const json &type = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  if (!type.is_string() || !shape.is_array() || shape.size() > most_dimensions || !offsets.is_array() ||
      offsets.size() != 2) {
    return std::nullopt;
  }
  SafetensorsEntry entry{type.get<std::string>(), {}, 0, 0};
  for (const json& dimension : shape) {
    const auto length = count_of(dimension);
    if (!length) return std::nullopt;
    entry.shape.push_back(static_cast<std::int64_t>(*length));
  }
  const auto begin = count_of(offsets[0]), end = count_of(offsets[1]);
  if (!begin || !end || *begin > *end || *end > data_size) return std::nullopt;
  entry.begin = data_start + *begin;
  entry.end = data_start + *end;
  return entry;
}

std::optional<Element> element_of_name(std::string_view type) {
  constexpr std::pair<std::string_view, Element> known[] = {
      {"F64", Element::float64}, {"F32", Element::float32}, {"F16", Element::float16}, {"BF16", Element::bfloat16},
      {"I8", Element::int8},     {"U8", Element::uint8},    {"I16", Element::bits16},  {"U16", Element::bits16}};
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
  const json document =
      bytes.read(8, text) ? json::parse(text, nullptr, /*allow_exceptions=*/false) : json(json::value_t::discarded);
  if (!document.is_object()) {
    why = "the header is not a JSON object";
    return std::nullopt;
  }
  SafetensorsHeader header;
  const std::uint64_t data_start = 8 + *length;
  for (const auto& [name, value] : document.items()) {
    if (name == "__metadata__") continue;
    auto entry = entry_of(value, data_start, bytes.size() - data_start);
    if (!entry) {
      why = fmt::format(
          "the header's entry '{}' needs a dtype, a shape and data_offsets [begin, end] within the {} bytes of data",
          name.substr(0, 60), bytes.size() - data_start);
      return std::nullopt;
    }
    header.emplace(name, std::move(*entry));
  }
  return header;
}

std::optional<Tensor> read_safetensors(ByteSource& bytes, const SafetensorsEntry& entry, std::string& why) {
  const auto element = element_of_name(entry.type);
  if (!element) {
    why = fmt::format("its elements are '{}'; known are F32, F16, BF16, F64, I8 and U8", entry.type.substr(0, 20));
    return std::nullopt;
  }
  const auto size = bytes_of(entry.shape, *element);
  if (!size || *size != entry.end - entry.begin) {
    why = fmt::format("shape {} of {} takes {}, and its data_offsets hold {} bytes", shape_text(entry.shape),
                      name_of(*element), size ? fmt::format("{} bytes", *size) : "more than any memory",
                      entry.end - entry.begin);
    return std::nullopt;
  }
  Tensor tensor{*element, entry.shape, std::vector<unsigned char>(*size)};
  if (bytes.read(entry.begin, tensor.bytes)) return tensor;
  why = "the file could not be read to its end";
  return std::nullopt;
}

}  // namespace normquant::tensors
