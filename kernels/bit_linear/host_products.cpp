// Products on the host device: Eigen's, in float32 and in int32.
#include <Eigen/Core>

#include "bit_linear/matrix_products.hpp"
#include "host/watch/events.hpp"

namespace normquant {
namespace {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatMatrix = RowMajor<float>;
using Stride = Eigen::OuterStride<>;

template <class T>
FloatMatrix read_as(const ConstMatrix& from, std::int64_t rows, std::int64_t columns) {
  return Eigen::Map<const RowMajor<T>, 0, Stride>(static_cast<const T*>(from.data), rows, columns, Stride(from.ld))
      .template cast<float>();
}
FloatMatrix read(const ConstMatrix& from, std::int64_t rows, std::int64_t columns) {
  if (from.type == DType::float32) return read_as<float>(from, rows, columns);
  if (from.type == DType::float16) return read_as<Eigen::half>(from, rows, columns);
  return read_as<Eigen::bfloat16>(from, rows, columns);
}

template <class T>
void write_as(const FloatMatrix& values, const Matrix& to) {
  Eigen::Map<RowMajor<T>, 0, Stride>(static_cast<T*>(to.data), values.rows(), values.cols(), Stride(to.ld)) =
      values.cast<T>();
}
void write(const FloatMatrix& values, const Matrix& to) {
  if (to.type == DType::float32) return write_as<float>(values, to);
  if (to.type == DType::float16) return write_as<Eigen::half>(values, to);
  write_as<Eigen::bfloat16>(values, to);
}

/// For whoever watches the kernels that read the result.
void tell_of_writes(const void* data, std::int64_t rows, std::size_t row_bytes, std::size_t stride_bytes) {
  for (std::int64_t row = 0; row < rows; ++row) {
    host_exec::watch::is_written(static_cast<const unsigned char*>(data) + row * stride_bytes, row_bytes);
  }
}

class HostProducts final : public MatrixProducts {
 public:
  std::size_t workspace_bytes() const override { return 0; }
  std::string why_not(const MatrixProduct&) override { return {}; }
  std::string why_not(const IntegerProduct&) override { return {}; }

  Status multiply(const MatrixProduct& p, void*, Stream) override {
    const FloatMatrix a =
        p.transpose_a ? FloatMatrix(read(p.a, p.depth, p.rows).transpose()) : read(p.a, p.rows, p.depth);
    const FloatMatrix b =
        p.transpose_b ? FloatMatrix(read(p.b, p.columns, p.depth).transpose()) : read(p.b, p.depth, p.columns);
    FloatMatrix d = FloatMatrix::Zero(p.rows, p.columns);
    d.noalias() += a * b;
    if (p.bias.given()) d.rowwise() += read({p.bias.data, p.bias.type, p.columns}, 1, p.columns).row(0);
    write(d, p.d);
    tell_of_writes(p.d.data, p.rows, p.columns * size_of(p.d.type), p.d.ld * size_of(p.d.type));
    return {};
  }

  Status multiply(const IntegerProduct& p, void*, Stream) override {
    using Codes = Eigen::Map<const RowMajor<std::int8_t>, 0, Stride>;
    const RowMajor<std::int32_t> a = Codes(p.a, p.rows, p.depth, Stride(p.lda)).cast<std::int32_t>();
    const RowMajor<std::int32_t> b = Codes(p.b, p.columns, p.depth, Stride(p.ldb)).cast<std::int32_t>();
    Eigen::Map<RowMajor<std::int32_t>>(p.d, p.rows, p.columns).noalias() = a * b.transpose();
    tell_of_writes(p.d, p.rows, p.columns * sizeof(*p.d), p.columns * sizeof(*p.d));
    return {};
  }
};

}  // namespace

std::shared_ptr<MatrixProducts> open_host_products() { return std::make_shared<HostProducts>(); }

std::shared_ptr<MatrixProducts> open_matrix_products(const DeviceInfo& device, std::string& why) {
  return device.kind == DeviceKind::host ? open_host_products() : open_cublaslt_products(why);
}

}  // namespace normquant
