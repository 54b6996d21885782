// NumPy's .npy: one array (numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3).
#pragma once

#include <optional>
#include <string>

#include "validate/tensor_files/bytes.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

bool looks_like_npy(ByteSource& bytes);

/// The array as NumPy reads it, whatever its byte order and its order of dimensions; nothing, and in `why` what is wrong with
/// it, when it is malformed or holds elements that have no use here, such as objects.
std::optional<Tensor> read_npy(ByteSource& bytes, std::string& why);

}  // namespace normquant::tensors
