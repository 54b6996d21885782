#include "validate/tensor_files/safetensors_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <nlohmann/json.hpp>

#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {
namespace {

using nlohmann::json;

std::string shown(const std::string& name) { return name.substr(0, 60); }

/// How deep the loader of the format's authors reads brackets within brackets.
constexpr int most_depth = 127;

/// Takes the header as it is parsed, so that nothing is kept of what is no header. Answers false to stop the parser.
class Reader final : public nlohmann::json_sax<json> {
 public:
  explicit Reader(std::uint64_t data_size) : data_size_(data_size) {}

  SafetensorsHeader header;
  std::string why;

  bool null() override { return ignored() || (place_ == Place::top && in_metadata_) || malformed(); }
  bool boolean(bool) override { return ignored() || malformed(); }
  bool number_integer(number_integer_t) override { return ignored() || malformed(); }
  bool number_float(number_float_t, const string_t&) override { return ignored() || malformed(); }
  bool binary(binary_t&) override { return malformed(); }
  bool number_unsigned(number_unsigned_t value) override {
    if (ignored()) return true;
    const bool list = place_ == Place::shape || place_ == Place::offsets;
    if (!list || value > std::uint64_t{1} << 62) return malformed();
    if (place_ == Place::shape && entry_.shape.size() == most_dimensions) return malformed();
    if (place_ == Place::offsets && offsets_.size() == 2) return malformed();
    place_ == Place::shape ? entry_.shape.push_back(static_cast<std::int64_t>(value)) : offsets_.push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (ignored() || place_ == Place::metadata) return true;
    if (place_ != Place::entry || field_ != Field::dtype) return malformed();
    entry_.type = value;
    return true;
  }
  bool start_object(std::size_t) override {
    if (!deeper()) return false;
    if (skipping()) return ++skipped_depth_ > 0;
    switch (place_) {
      case Place::outside: place_ = Place::top; return true;
      case Place::top:
        place_ = in_metadata_ ? Place::metadata : Place::entry;
        entry_ = {};
        offsets_.clear();
        seen_ = {};
        return true;
      default: return malformed();
    }
  }
  bool key(string_t& name) override {
    if (skipped_depth_ > 0 || place_ == Place::metadata) return true;
    if (place_ == Place::entry) return start_field(name);
    in_metadata_ = name == "__metadata__";
    name_ = name;
    const bool twice = in_metadata_ ? std::exchange(metadata_seen_, true) : header.contains(name);
    if (twice) why = fmt::format("the header names '{}' twice", shown(name));
    return !twice;
  }
  bool end_object() override {
    --depth_;
    if (skipped_depth_ > 0) return leave_skipped();
    const Place left = std::exchange(place_, place_ == Place::top ? Place::outside : Place::top);
    return left != Place::entry || keep_entry();
  }
  bool start_array(std::size_t) override {
    if (!deeper()) return false;
    if (skipping()) return ++skipped_depth_ > 0;
    if (place_ != Place::entry || field_ == Field::dtype) return malformed();
    place_ = field_ == Field::shape ? Place::shape : Place::offsets;
    return true;
  }
  bool end_array() override {
    --depth_;
    if (skipped_depth_ > 0) return leave_skipped();
    place_ = Place::entry;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return malformed(); }

 private:
  enum class Place { outside, top, metadata, entry, shape, offsets };
  enum class Field { dtype, shape, offsets, other };

  /// Whether what comes is, or lies in, a field that the format does not have; the authors' loader skips it.
  bool skipping() const { return skipped_depth_ > 0 || (place_ == Place::entry && field_ == Field::other); }
  bool ignored() const { return skipping(); }
  bool leave_skipped() {
    --skipped_depth_;
    return true;
  }
  bool deeper() {
    if (++depth_ <= most_depth) return true;
    why = fmt::format("the header has brackets more than {} deep; the format's own loader reads no deeper", most_depth);
    return false;
  }
  bool start_field(const std::string& name) {
    constexpr std::pair<std::string_view, Field> fields[] = {
        {"dtype", Field::dtype}, {"shape", Field::shape}, {"data_offsets", Field::offsets}};
    field_ = Field::other;
    for (const auto& [known, field] : fields) {
      if (known == name) field_ = field;
    }
    if (field_ == Field::other || !std::exchange(seen_[static_cast<std::size_t>(field_)], true)) return true;
    why = fmt::format("the header's entry '{}' has two fields '{}'", shown(name_), name);
    return false;
  }
  bool keep_entry() {
    if (!seen_[0] || !seen_[1] || !seen_[2] || offsets_.size() != 2 || offsets_[0] > offsets_[1] ||
        offsets_[1] > data_size_) {
      return malformed();
    }
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header.emplace(name_, std::move(entry_));
    return true;
  }
  bool malformed() {
    if (!why.empty()) return false;
    why = name_.empty() || in_metadata_ || place_ == Place::outside
              ? "the header is not a JSON object of tensors"
              : fmt::format(
                    "the header's entry '{}' needs a dtype, a shape and data_offsets [begin, end] within the {} "
                    "bytes of data",
                    shown(name_), data_size_);
    return false;
  }

  std::uint64_t data_size_;
  Place place_ = Place::outside;
  Field field_ = Field::other;
  std::string name_;
  bool in_metadata_ = false, metadata_seen_ = false;
  std::array<bool, 3> seen_{};
  SafetensorsEntry entry_;
  std::vector<std::uint64_t> offsets_;
  std::int64_t skipped_depth_ = 0;
  int depth_ = 0;
};

/// Bits of an element; 0 for a type that the format does not have.
std::uint64_t bits_of(std::string_view type) {
  constexpr std::pair<std::string_view, std::uint64_t> known[] = {
      {"BOOL", 8},    {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8},
      {"F8_E4M3", 8}, {"I16", 16}, {"F8_E8M0", 8}, {"U16", 16},    {"F16", 16}, {"BF16", 16}, {"I32", 32},
      {"U32", 32},    {"F32", 32}, {"C64", 64},    {"F64", 64},    {"I64", 64}, {"U64", 64}};
  for (const auto& [name, bits] : known) {
    if (name == type) return bits;
  }
  return 0;
}

/// Why the entry's bytes are not what its shape takes; empty when they are.
std::string wrong_size(const std::string& name, const SafetensorsEntry& entry) {
  const std::uint64_t bits = bits_of(entry.type);
  if (bits == 0) {
    return fmt::format("tensor '{}' is of the type '{}', which the format does not have", shown(name),
                       entry.type.substr(0, 20));
  }
  const auto elements = bytes_of(entry.shape, Element::uint8);
  if (elements && *elements < std::uint64_t{1} << 56 && *elements * bits % 8 == 0 &&
      *elements * bits / 8 == entry.end - entry.begin) {
    return {};
  }
  return fmt::format("tensor '{}': shape {} of {} takes {}, and its data_offsets hold {} bytes", shown(name),
                     shape_text(entry.shape), entry.type,
                     elements && *elements < std::uint64_t{1} << 56 ? fmt::format("{} bits", *elements * bits)
                                                                    : "more than any memory",
                     entry.end - entry.begin);
}

/// Why the tensors do not lie one behind the other from the first byte to the last; empty when they do.
std::string wrong_layout(const SafetensorsHeader& header, std::uint64_t data_size) {
  std::vector<const SafetensorsHeader::value_type*> order;
  for (const auto& named : header) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t end = 0;
  for (const auto* named : order) {
    const auto& [name, entry] = *named;
    if (entry.begin != end) {
      return fmt::format("tensor '{}' begins at byte {} of the data; {} the one before it, which ends at {}",
                         shown(name), entry.begin, entry.begin < end ? "it overlaps" : "there is a gap behind", end);
    }
    end = entry.end;
  }
  return end == data_size ? "" : fmt::format("{} bytes lie behind the last tensor", data_size - end);
}

}  // namespace

std::optional<SafetensorsHeader> parse_safetensors_header(std::span<const unsigned char> text, std::uint64_t data_size,
                                                          std::string& why) {
  Reader reader(data_size);
  if (!json::sax_parse(text.begin(), text.end(), &reader)) {
    why = reader.why.empty() ? "the header is not a JSON object of tensors" : reader.why;
    return std::nullopt;
  }
  for (const auto& [name, entry] : reader.header) {
    why = wrong_size(name, entry);
    if (!why.empty()) return std::nullopt;
  }
  why = wrong_layout(reader.header, data_size);
  if (!why.empty()) return std::nullopt;
  return std::move(reader.header);
}

}  // namespace normquant::tensors
