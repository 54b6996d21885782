#include "tensors.hpp"

#include <array>

#include <torch/csrc/stable/ops.h>

namespace normquant::torch_ops {
namespace {

std::string shape_text(const Tensor& tensor) {
  std::string text = "[";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(tensor.size(i));
  return text + "]";
}

Tensor packed_of(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

/// The common stride of all rows; 0 when there is none.
std::int64_t row_stride(const Tensor& tensor, std::int64_t rows, std::int64_t columns) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  const auto last = static_cast<std::int64_t>(sizes.size()) - 1;
  if (columns > 1 && strides[last] != 1) return 0;
  if (rows <= 1) return columns;
  std::int64_t ld = 0, expected = 0;
  for (std::int64_t i = last - 1; i >= 0; --i) {
    if (sizes[i] == 1) continue;
    if (ld == 0) {
      ld = strides[i];
      if (ld < columns) return 0;  // rows that overlap, as expand() makes them
    } else if (strides[i] != expected) {
      return 0;
    }
    expected = strides[i] * sizes[i];
  }
  return ld;
}

Rows rows_of(const char* operation, const char* name, const Tensor& tensor) {
  if (tensor.dim() < 1) refuse(operation, std::string(name) + " has no dimension; it must be [..., N]");
  Rows rows;
  rows.tensor = tensor;
  rows.columns = tensor.size(tensor.dim() - 1);
  if (rows.columns < 1) {
    refuse(operation,
           std::string(name) + " has the shape " + shape_text(tensor) + "; its last dimension must be 1 or more");
  }
  rows.rows = tensor.numel() / rows.columns;
  rows.matrix.type = type_of(operation, name, tensor);
  rows.matrix.ld = row_stride(tensor, rows.rows, rows.columns);
  if (rows.matrix.ld == 0) {
    rows.tensor = packed_of(tensor);
    rows.matrix.ld = rows.columns;
  }
  // A tensor without elements has no memory; what is never read may be anything but null.
  static constexpr std::int64_t never_read = 0;
  rows.matrix.data = rows.rows == 0 ? &never_read : rows.tensor.const_data_ptr();
  return rows;
}

}  // namespace

void refuse(const char* operation, const std::string& sentence) {
  throw std::invalid_argument(std::string(operation) + ": " + sentence);
}

bool Location::is_cuda() const { return type == aoti_torch_device_type_cuda(); }
bool Location::is_cpu() const { return type == aoti_torch_device_type_cpu(); }
std::string Location::name() const {
  if (is_cpu()) return "cpu";
  return is_cuda() ? "cuda:" + std::to_string(index) : "a device that is neither the CPU nor a CUDA GPU";
}

Location location_of(const Tensor& tensor) {
  Location location;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor.get(), &location.type));
  location.index = location.is_cpu() ? -1 : tensor.get_device_index();
  return location;
}

DType type_of(const char* operation, const char* name, const Tensor& tensor) {
  return type_of(operation, name, tensor.scalar_type());
}
DType type_of(const char* operation, const char* name, ScalarType type) {
  switch (type) {
    case ScalarType::Float: return DType::float32;
    case ScalarType::Half: return DType::float16;
    case ScalarType::BFloat16: return DType::bfloat16;
    default: break;
  }
  refuse(operation, std::string(name) + " has the type " + torch::headeronly::toString(type) +
                        "; it must be float32, float16 or bfloat16");
}
ScalarType scalar_type_of(DType type) {
  return type == DType::float32 ? ScalarType::Float : type == DType::float16 ? ScalarType::Half : ScalarType::BFloat16;
}

Arguments::Arguments(const char* operation, const char* name, const Tensor& first)
    : operation_(operation),
      first_name_(name),
      location_(location_of(first)),
      first_(rows_of(operation, name, first)) {}

void Arguments::check_device(const char* name, const Tensor& tensor) const {
  const Location location = location_of(tensor);
  if (location == location_) return;
  refuse(operation_, std::string(name) + " is on " + location.name() + " and " + first_name_ + " on " +
                         location_.name() + "; all tensors must be on one device");
}

Rows Arguments::rows(const char* name, const Tensor& tensor, std::int64_t columns) const {
  Rows rows = matrix(name, tensor, columns);
  if (rows.rows != first_.rows) {
    refuse(operation_, std::string(name) + " has the shape " + shape_text(tensor) + ", " + first_name_ + " " +
                           shape_text(first_.tensor) + "; they must have as many rows");
  }
  return rows;
}

Rows Arguments::matrix(const char* name, const Tensor& tensor, std::int64_t columns) const {
  check_device(name, tensor);
  Rows rows = rows_of(operation_, name, tensor);
  if (rows.columns != columns) {
    refuse(operation_, std::string(name) + " has the shape " + shape_text(tensor) + "; its last dimension must be " +
                           std::to_string(columns));
  }
  return rows;
}

ConstVector Arguments::vector(const char* name, const OptionalTensor& tensor, std::int64_t size) {
  if (!tensor) return {};
  check_device(name, *tensor);
  const DType type = type_of(operation_, name, *tensor);
  if (tensor->numel() != size || tensor->dim() != 1) {
    refuse(operation_,
           std::string(name) + " has the shape " + shape_text(*tensor) + "; it must be [" + std::to_string(size) + "]");
  }
  kept_.push_back(packed_of(*tensor));
  return {kept_.back().const_data_ptr(), type};
}

const float* Arguments::floats(const char* name, const OptionalTensor& tensor, std::int64_t size) {
  if (!tensor) return nullptr;
  const ConstVector vector_of = vector(name, tensor, size);
  if (vector_of.type != DType::float32) refuse(operation_, std::string(name) + " must be float32");
  return static_cast<const float*>(vector_of.data);
}

const void* Arguments::bytes(const char* name, const Tensor& tensor, bool is_signed, std::int64_t rows,
                             std::int64_t columns) {
  check_device(name, tensor);
  if (tensor.scalar_type() != (is_signed ? ScalarType::Char : ScalarType::Byte)) {
    refuse(operation_, std::string(name) + " must be " + (is_signed ? "int8" : "uint8"));
  }
  if (tensor.dim() != 2 || tensor.size(0) != rows || tensor.size(1) != columns) {
    refuse(operation_, std::string(name) + " has the shape " + shape_text(tensor) + "; it must be [" +
                           std::to_string(rows) + ", " + std::to_string(columns) + "]");
  }
  kept_.push_back(packed_of(tensor));
  return kept_.back().const_data_ptr();
}

std::vector<std::int64_t> Arguments::shape(std::int64_t columns) const {
  const auto sizes = first_.tensor.sizes();
  std::vector<std::int64_t> shape(sizes.begin(), sizes.end());
  shape.back() = columns;
  return shape;
}

Tensor Arguments::empty(const std::vector<std::int64_t>& sizes, ScalarType type) const {
  std::array<std::int64_t, 16> strides{};
  if (sizes.size() > strides.size()) refuse(operation_, std::string(first_name_) + " has more than 16 dimensions");
  std::int64_t stride = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i] > 0 ? sizes[i] : 1;
  }
  const auto torch_type = torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(type));
  AtenTensorHandle handle = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<std::int64_t>(sizes.size()), sizes.data(), strides.data(),
                                                  torch_type, location_.type, location_.is_cpu() ? 0 : location_.index,
                                                  &handle));
  return Tensor(handle);
}

Matrix matrix_of(const Tensor& tensor, DType type, std::int64_t columns) {
  static std::int64_t never_written = 0;
  void* data = tensor.numel() == 0 ? &never_written : tensor.mutable_data_ptr();
  return {data, type, columns};
}

}  // namespace normquant::torch_ops
