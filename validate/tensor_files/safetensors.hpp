// .safetensors: tensors by name behind a header in JSON (github.com/huggingface/safetensors, section "Format").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "validate/tensor_files/bytes.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

/// Where a tensor lies; `type` is the file's own word ("BF16").
struct SafetensorsEntry {
  std::string type;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< of the file
};
using SafetensorsHeader = std::map<std::string, SafetensorsEntry>;

/// Whether it begins with the length of a header and a brace.
bool looks_like_safetensors(ByteSource& bytes);

/// Nothing, and in `why` what is wrong, when the header is malformed or names bytes that the file does not have.
std::optional<SafetensorsHeader> read_safetensors_header(ByteSource& bytes, std::string& why);

/// Nothing, and a sentence in `why`, when its type has no use here or its bytes are not what its shape takes.
std::optional<Tensor> read_safetensors(ByteSource& bytes, const SafetensorsEntry& entry, std::string& why);

}  // namespace normquant::tensors
