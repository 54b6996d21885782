#include "validate/tensor_files/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace normquant::tensors {
namespace {

constexpr std::array<unsigned char, 6> magic = {0x93, 'N', 'U', 'M', 'P', 'Y'};
/// NumPy itself refuses longer ones.
constexpr std::uint32_t longest_npy_header = 10000;

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Reads the header: a Python dictionary of three entries.
class HeaderText {
 public:
  explicit HeaderText(std::string_view text) : text_(text) {}

  std::optional<Header> parse() {
    Header header;
    int entries = 0;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const auto key = quoted();
      if (!key || !take(':') || ++entries > 3) return std::nullopt;
      bool known = false;
      if (*key == "descr") known = descr(header.descr);
      if (*key == "fortran_order") known = boolean(header.fortran_order);
      if (*key == "shape") known = tuple(header.shape);
      if (!known) return std::nullopt;
      take(',');
    }
    skip_blanks();
    return text_.empty() && entries == 3 && !header.descr.empty() ? std::optional(header) : std::nullopt;
  }

 private:
  void skip_blanks() {
    const std::size_t start = text_.find_first_not_of(" \n\t");
    text_.remove_prefix(std::min(start, text_.size()));
  }
  bool take(char wanted) {
    skip_blanks();
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view wanted) {
    skip_blanks();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(wanted.size());
    return true;
  }
  std::optional<std::string> quoted() {
    skip_blanks();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return std::nullopt;
    const std::size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string word(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return word;
  }
  /// A list here means fields: an array of structures.
  bool descr(std::string& word) {
    const auto text = quoted();
    if (text) word = *text;
    return text.has_value();
  }
  bool boolean(bool& value) {
    value = take("True");
    return value || take("False");
  }
  bool tuple(std::vector<std::int64_t>& numbers) {
    if (!take('(')) return false;
    while (!take(')')) {
      skip_blanks();
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
      if (error != std::errc{} || numbers.size() == most_dimensions) return false;
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      numbers.push_back(number);
      take(',');
    }
    return true;
  }

  std::string_view text_;
};

/// The element type that a descr such as "<f4" means; nothing for those without a use here.
std::optional<Element> element_of_descr(std::string_view descr) {
  constexpr std::pair<std::string_view, Element> known[] = {
      {"<f8", Element::float64}, {"<f4", Element::float32},       {"<f2", Element::float16}, {"|i1", Element::int8},
      {"|u1", Element::uint8},   {"bfloat16", Element::bfloat16}, {"<u2", Element::bits16},  {"<i2", Element::bits16},
      {"<V2", Element::bits16},  {"|V2", Element::bits16}};
  for (const auto& [name, element] : known) {
    if (name == descr) return element;
  }
  return std::nullopt;
}

/// The header's text; empty, and `why` filled, when there is none. `data` is where the elements start.
std::string header_text(ByteSource& bytes, std::uint64_t& data, std::string& why) {
  std::array<unsigned char, 12> start{};
  const auto cut_off = [&why] {
    why = "the file ends within the header of a .npy array; it was cut off";
    return std::string{};
  };
  if (!bytes.read(0, std::span(start).first(10))) return cut_off();
  const int version = start[6];
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

}  // namespace

bool looks_like_npy(ByteSource& bytes) {
  std::array<unsigned char, magic.size()> start{};
  return bytes.read(0, start) && start == magic;
}

std::optional<Tensor> read_npy(ByteSource& bytes, std::string& why) {
  std::uint64_t data = 0;
  if (!looks_like_npy(bytes)) {
    why = "it does not begin as a .npy array does";
    return std::nullopt;
  }
  const std::string text = header_text(bytes, data, why);
  if (text.empty()) return std::nullopt;
  const auto header = HeaderText(text).parse();
  if (!header) {
    why = "the header of the .npy array is not {'descr': '...', 'fortran_order': ..., 'shape': (...)} of plain numbers";
    return std::nullopt;
  }
  const auto element = element_of_descr(header->descr);
  if (!element) {
    why = fmt::format(
        "its elements are '{}'; known are little-endian float32, float16, float64, int8, uint8 and, for bfloat16, any "
        "type of 16 bits",
        header->descr.substr(0, 20));
    return std::nullopt;
  }
  if (header->fortran_order && header->shape.size() > 1) {
    why = "the array is stored column by column; save numpy.ascontiguousarray(array)";
    return std::nullopt;
  }
  const auto size = bytes_of(header->shape, *element);
  if (!size) {
    why = fmt::format("its shape {} is impossible", shape_text(header->shape));
    return std::nullopt;
  }
  const std::uint64_t there = bytes.size() - data;
  if (*size != there) {
    why = fmt::format("shape {} of {} takes {} bytes, and the file holds {}{}", shape_text(header->shape),
                      name_of(*element), *size, there, there < *size ? "; it was cut off" : "");
    return std::nullopt;
  }
  Tensor tensor{*element, header->shape, std::vector<unsigned char>(*size)};
  if (bytes.read(data, tensor.bytes)) return tensor;
  why = "the file could not be read to its end";
  return std::nullopt;
}

}  // namespace normquant::tensors
