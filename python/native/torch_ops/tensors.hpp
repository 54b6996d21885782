// Torch's tensors as the library's matrices and vectors, and new ones from torch's allocator. Shapes are [..., N]: all but the
// last dimension are rows.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <normquant/types.hpp>

namespace normquant::torch_ops {

using Tensor = torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using ScalarType = torch::headeronly::ScalarType;

/// Python's ValueError or RuntimeError with this sentence.
[[noreturn]] void refuse(const char* operation, const std::string& sentence);

/// Where a tensor lies.
struct Location {
  std::int32_t type = 0;   ///< as torch's C interface numbers them
  std::int32_t index = 0;  ///< -1 on the CPU
  bool operator==(const Location&) const = default;
  bool is_cuda() const;
  bool is_cpu() const;
  std::string name() const;  ///< `cpu`, `cuda:0`
};
Location location_of(const Tensor& tensor);

/// The element type; refuses what the library does not compute with.
DType type_of(const char* operation, const char* name, const Tensor& tensor);
DType type_of(const char* operation, const char* name, ScalarType type);
ScalarType scalar_type_of(DType type);

/// A tensor [..., N] as a matrix [M, N]. One whose rows have no common stride, or whose last dimension is not contiguous, is
/// copied; `tensor` keeps the copy.
struct Rows {
  Tensor tensor;
  std::int64_t rows = 0, columns = 0;
  ConstMatrix matrix;
};

/// The tensors of one call, each checked against the first: device, type, shape.
class Arguments {
 public:
  Arguments(const char* operation, const char* name, const Tensor& first);

  const Rows& first() const { return first_; }
  const Location& location() const { return location_; }
  const char* operation() const { return operation_; }
  const Tensor& tensor() const { return first_.tensor; }

  /// [..., columns] with as many rows as the first.
  Rows rows(const char* name, const Tensor& tensor, std::int64_t columns) const;
  /// [size], contiguous.
  ConstVector vector(const char* name, const OptionalTensor& tensor, std::int64_t size);
  /// [size] float32, one a row or for all; null when not given.
  const float* floats(const char* name, const OptionalTensor& tensor, std::int64_t size);
  /// [rows, columns] of bytes, contiguous.
  const void* bytes(const char* name, const Tensor& tensor, bool is_signed, std::int64_t rows, std::int64_t columns);
  /// [K_out, columns].
  Rows matrix(const char* name, const Tensor& tensor, std::int64_t columns) const;
  void check_device(const char* name, const Tensor& tensor) const;

  /// The first tensor's shape, with another last dimension.
  std::vector<std::int64_t> shape(std::int64_t columns) const;
  /// A new tensor beside the first, uninitialised.
  Tensor empty(const std::vector<std::int64_t>& sizes, ScalarType type) const;
  Tensor nothing() const { return empty({0}, ScalarType::Float); }

 private:
  const char* operation_;
  const char* first_name_;
  Location location_;
  Rows first_;
  std::vector<Tensor> kept_;  ///< copies that live until the launch
};

/// What a new, contiguous tensor [..., columns] is to a kernel.
Matrix matrix_of(const Tensor& tensor, DType type, std::int64_t columns);

}  // namespace normquant::torch_ops
