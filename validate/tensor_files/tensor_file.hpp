// A file of tensors: .npy, .npz or .safetensors, told apart by what is in them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "validate/tensor_files/bytes.hpp"
#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  /// In the file's order; a .npy file has one tensor, whose name is empty.
  virtual const std::vector<std::string>& names() const = 0;
  /// Nothing, and a sentence in `why`, when there is no such tensor or it is damaged.
  virtual std::optional<Tensor> read(const std::string& name, std::string& why) = 0;
};

/// Null, with what is wrong in `why`, when the bytes are none of the three or their directory is damaged.
std::unique_ptr<TensorFile> open_tensors(std::unique_ptr<ByteSource> bytes, std::string& why);

}  // namespace normquant::tensors
