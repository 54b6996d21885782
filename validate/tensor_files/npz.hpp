// .npz: a zip archive of .npy arrays (numpy.savez, numpy.savez_compressed).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "validate/tensor_files/bytes.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

/// The arrays' names, without `.npy`; nothing, and a sentence in `why`, when it is not an archive of arrays, each with a
/// name of its own.
std::optional<std::vector<std::string>> npz_names(ByteSource& bytes, std::string& why);

/// The array of that name.
std::optional<Tensor> read_npz(ByteSource& bytes, const std::string& name, std::string& why);

}  // namespace normquant::tensors
