#include "validate/tensor_files/npy_header.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace normquant::tensors {
namespace {

class HeaderText {
 public:
  HeaderText(std::string_view text, int version) : text_(text), version_(version) {}

  std::optional<NpyHeader> parse() {
    NpyHeader header;
    bool descr = false, order = false, shape = false;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const auto key = quoted();
      if (!key || !take(':')) return std::nullopt;
      if (*key == "descr"           ? !once(descr) || !word(header.descr)
          : *key == "fortran_order" ? !once(order) || !boolean(header.fortran_order)
          : *key == "shape"         ? !once(shape) || !tuple(header.shape)
                                    : true) {
        return std::nullopt;
      }
      if (!take(',') && !next_is('}')) return std::nullopt;
    }
    skip_blanks();
    return text_.empty() && descr && order && shape ? std::optional(header) : std::nullopt;
  }

 private:
  static bool once(bool& seen) { return !std::exchange(seen, true); }

  void skip_blanks() {
    while (true) {
      const std::size_t start = text_.find_first_not_of(" \n\t\r\f");
      text_.remove_prefix(std::min(start, text_.size()));
      if (!text_.starts_with('#')) return;
      text_.remove_prefix(std::min(text_.find('\n'), text_.size()));  // a comment
    }
  }
  bool next_is(char wanted) {
    skip_blanks();
    return text_.starts_with(wanted);
  }
  bool take(char wanted) {
    if (!next_is(wanted)) return false;
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
    if (text_.starts_with('u') || text_.starts_with('U')) text_.remove_prefix(1);  // as Python 2 marks text
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return std::nullopt;
    const std::size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string inside(text_.substr(1, end - 1));
    if (inside.find_first_of("\\\n") != std::string::npos) return std::nullopt;
    text_.remove_prefix(end + 1);
    return inside;
  }
  /// A list here means fields: an array of structures.
  bool word(std::string& value) {
    const auto text = quoted();
    if (text) value = *text;
    return text.has_value();
  }
  bool boolean(bool& value) {
    value = take("True");
    return value || take("False");
  }
  bool number(std::int64_t& value) {
    skip_blanks();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc{}) return false;
    const auto length = static_cast<std::size_t>(end - text_.data());
    const std::size_t sign = text_.starts_with('-') ? 1 : 0;
    if (text_[sign] == '0' && value != 0) return false;  // 012 is no number in Python
    text_.remove_prefix(length);
    if (version_ < 3) take('L');
    return true;
  }
  /// (), (n,), (n, m): without its comma (n) is a number.
  bool tuple(std::vector<std::int64_t>& numbers) {
    if (!take('(')) return false;
    bool comma = true;
    while (!take(')')) {
      std::int64_t value = 0;
      if (!comma || numbers.size() == most_dimensions || !number(value)) return false;
      numbers.push_back(value);
      comma = take(',');
    }
    return comma || numbers.size() > 1;
  }

  std::string_view text_;
  int version_;
};

}  // namespace

std::optional<NpyHeader> parse_npy_header(std::string_view text, int version) {
  return HeaderText(text, version).parse();
}

std::optional<NpyElements> elements_of_descr(std::string_view descr) {
  constexpr std::pair<std::string_view, Element> names[] = {
      {"float64", Element::float64}, {"double", Element::float64},        {"float", Element::float64},
      {"float32", Element::float32}, {"single", Element::float32},        {"float16", Element::float16},
      {"half", Element::float16},    {"bfloat16", Element::bfloat16},     {"int8", Element::int8},
      {"byte", Element::int8},       {"uint8", Element::uint8},           {"ubyte", Element::uint8},
      {"int16", Element::bits16},    {"short", Element::bits16},          {"uint16", Element::bits16},
      {"ushort", Element::bits16},   {"float8_e4m3fn", Element::fp8_e4m3}};
  // After a sign of the byte order, or none.
  constexpr std::pair<std::string_view, Element> codes[] = {
      {"f8", Element::float64}, {"d", Element::float64}, {"f4", Element::float32}, {"f", Element::float32},
      {"f2", Element::float16}, {"e", Element::float16}, {"i1", Element::int8},    {"b", Element::int8},
      {"u1", Element::uint8},   {"B", Element::uint8},   {"i2", Element::bits16},  {"h", Element::bits16},
      {"u2", Element::bits16},  {"H", Element::bits16},  {"V2", Element::bits16},  {"V1", Element::bits8}};
  for (const auto& [name, element] : names) {
    if (name == descr) return NpyElements{element, false};
  }
  const bool signed_order = !descr.empty() && std::string_view("<>=|").find(descr.front()) != std::string_view::npos;
  const std::string_view code = signed_order ? descr.substr(1) : descr;
  for (const auto& [name, element] : codes) {
    // Raw bytes have no order.
    if (name == code) return NpyElements{element, descr.front() == '>' && size_of(element) > 1 && code != "V2"};
  }
  return std::nullopt;
}

}  // namespace normquant::tensors
