// The header of a .safetensors file: JSON that says which tensors lie where.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace normquant::tensors {

/// Where a tensor lies; `type` is the file's own word ("BF16").
struct SafetensorsEntry {
  std::string type;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< of the data behind the header
};
using SafetensorsHeader = std::map<std::string, SafetensorsEntry>;

/// The tensors that the text names, whose data are `data_size` bytes. Nothing, and in `why` what is wrong, where the loader of
/// the format's authors refuses too: no such JSON, a name twice, a type that the format does not have, tensors that overlap or
/// leave a gap, a shape that takes other than its bytes, bytes behind the last tensor.
std::optional<SafetensorsHeader> parse_safetensors_header(std::span<const unsigned char> text, std::uint64_t data_size,
                                                          std::string& why);

}  // namespace normquant::tensors
