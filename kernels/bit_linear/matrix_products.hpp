// Matrix products on a device, as the layer words them: row-major, with what is transposed said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <normquant/bit_linear.hpp>

namespace normquant {

/// d [rows, columns] = op(a) [rows, depth] * op(b) [depth, columns] + bias [columns] (optional), accumulated in float32.
/// a and b have one type.
struct MatrixProduct {
  std::int64_t rows = 0, columns = 0, depth = 0;
  bool transpose_a = false, transpose_b = false;  ///< a is stored [depth, rows]; b is stored [columns, depth]
  ConstMatrix a, b;
  Matrix d;
  ConstVector bias;  ///< in d's type
};

/// d [rows, columns] = a [rows, depth] * b^T, b stored [columns, depth]: exact in int32 as long as depth is at most
/// most_integer_depth. d is packed: its row stride is `columns`.
struct IntegerProduct {
  std::int64_t rows = 0, columns = 0, depth = 0;
  const std::int8_t* a = nullptr;
  std::int64_t lda = 0;
  const std::int8_t* b = nullptr;
  std::int64_t ldb = 0;
  std::int32_t* d = nullptr;
};
/// 128 * 2 * 2^22 = 2^30: room for codes of +-128 times codes shifted to {0, 1, 2}.
inline constexpr std::int64_t most_integer_depth = std::int64_t{1} << 22;

/// See bit_linear.hpp. `workspace` has workspace_bytes() bytes, aligned to 256.
class MatrixProducts {
 public:
  MatrixProducts() = default;
  MatrixProducts(const MatrixProducts&) = delete;
  MatrixProducts& operator=(const MatrixProducts&) = delete;
  virtual ~MatrixProducts() = default;
  virtual std::size_t workspace_bytes() const = 0;
  /// Why the product cannot be computed, as a sentence; empty when it can.
  virtual std::string why_not(const MatrixProduct& product) = 0;
  virtual std::string why_not(const IntegerProduct& product) = 0;
  virtual Status multiply(const MatrixProduct& product, void* workspace, Stream stream) = 0;
  virtual Status multiply(const IntegerProduct& product, void* workspace, Stream stream) = 0;
  /// Times the library's candidates for the product, with these operands and over this result, and remembers the fastest.
  /// Synchronises.
  virtual Status tune(const MatrixProduct&, void* /*workspace*/, Stream) { return {}; }
  virtual Status tune(const IntegerProduct&, void* /*workspace*/, Stream) { return {}; }
};

std::shared_ptr<MatrixProducts> open_host_products();
std::shared_ptr<MatrixProducts> open_cublaslt_products(std::string& why);

}  // namespace normquant
