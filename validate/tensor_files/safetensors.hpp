// .safetensors: tensors by name behind a header in JSON (github.com/huggingface/safetensors, section "Format").
#pragma once

#include <optional>
#include <string>

#include "validate/tensor_files/bytes.hpp"
#include "validate/tensor_files/safetensors_header.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

/// Whether it begins with the length of a header and a brace.
bool looks_like_safetensors(ByteSource& bytes);

/// Where the tensors lie in the file. Nothing, and in `why` what is wrong, where parse_safetensors_header finds something or
/// the header is not all there.
std::optional<SafetensorsHeader> read_safetensors_header(ByteSource& bytes, std::string& why);

/// Nothing, and a sentence in `why`, when its type has no use here.
std::optional<Tensor> read_safetensors(ByteSource& bytes, const SafetensorsEntry& entry, std::string& why);

}  // namespace normquant::tensors
