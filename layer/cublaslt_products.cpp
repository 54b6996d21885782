// Products on a GPU: cuBLASLt's, its algorithms chosen once a product.
//
// cuBLASLt's matrices are column-major: a row-major matrix is its transpose there, and d = op(a) op(b) becomes
// d^T = op(b)^T op(a)^T, so its first operand is b and its second a.
#include "matrix_products.hpp"

#if defined(NORMQUANT_WITH_CUBLASLT)
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

namespace normquant {
namespace {

/// What NVIDIA recommends for Hopper (cuBLAS documentation, "cublasSetWorkspace()"): 32 MiB.
constexpr std::size_t workspace_size = std::size_t{32} << 20;

Status status_of(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return Status::infrastructure(std::string(what) + ": " + cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType type) {
  return type == DType::float32 ? CUDA_R_32F : type == DType::float16 ? CUDA_R_16F : CUDA_R_16BF;
}

/// A matrix as it lies in memory.
struct Side {
  const void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t ld = 0;
  bool transposed = false;
};

/// A product in cuBLASLt's words, d^T [columns, rows] = first * second.
struct Gemm {
  std::int64_t rows = 0, columns = 0, depth = 0;
  Side first, second, result;
  const void* bias = nullptr;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
};

Gemm gemm_of(const MatrixProduct& p) {
  Gemm g;
  g.rows = p.rows, g.columns = p.columns, g.depth = p.depth;
  g.first = {p.b.data, type_of(p.b.type), p.b.ld, p.transpose_b};
  g.second = {p.a.data, type_of(p.a.type), p.a.ld, p.transpose_a};
  g.result = {p.d.data, type_of(p.d.type), p.d.ld, false};
  g.bias = p.bias.data;
  return g;
}

Gemm gemm_of(const IntegerProduct& p) {
  Gemm g;
  g.rows = p.rows, g.columns = p.columns, g.depth = p.depth;
  g.first = {p.b, CUDA_R_8I, p.ldb, true};
  g.second = {p.a, CUDA_R_8I, p.lda, false};
  g.result = {p.d, CUDA_R_32I, p.columns, false};
  g.compute = CUBLAS_COMPUTE_32I;
  return g;
}

/// The largest power of two up to 256 that divides the address: what an algorithm may assume.
std::uint32_t alignment_of(const void* data) {
  std::uint32_t alignment = 256;
  while (alignment > 1 && reinterpret_cast<std::uintptr_t>(data) % alignment != 0) alignment /= 2;
  return alignment;
}

/// All that the choice of an algorithm depends on.
using Key = std::array<std::int64_t, 17>;
Key key_of(const Gemm& g) {
  return {g.rows,
          g.columns,
          g.depth,
          g.first.type,
          g.first.ld,
          g.second.type,
          g.second.ld,
          g.result.type,
          g.result.ld,
          g.compute,
          g.bias != nullptr,
          g.first.transposed,
          g.second.transposed,
          alignment_of(g.first.data),
          alignment_of(g.second.data),
          alignment_of(g.result.data),
          alignment_of(g.bias)};
}

/// cuBLASLt's descriptions of a product, on the stack: nothing is allocated.
class Description {
 public:
  explicit Description(const Gemm& g) {
    const cudaDataType_t scale = g.compute == CUBLAS_COMPUTE_32I ? CUDA_R_32I : CUDA_R_32F;
    accept(cublasLtMatmulDescInit(&operation_, g.compute, scale));
    set(CUBLASLT_MATMUL_DESC_TRANSA, g.first.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, g.second.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (g.bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(g.result.type));
    }
    layout(&first_, g.first, g.columns, g.depth);
    layout(&second_, g.second, g.depth, g.rows);
    layout(&result_, g.result, g.columns, g.rows);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  ~Description() = default;

  cublasStatus_t status() const { return status_; }
  cublasLtMatmulDesc_t operation() { return &operation_; }
  cublasLtMatrixLayout_t first() { return &first_; }
  cublasLtMatrixLayout_t second() { return &second_; }
  cublasLtMatrixLayout_t result() { return &result_; }

 private:
  void accept(cublasStatus_t status) {
    if (status_ == CUBLAS_STATUS_SUCCESS) status_ = status;
  }
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    accept(cublasLtMatmulDescSetAttribute(&operation_, attribute, &value, sizeof value));
  }
  /// The matrix is [rows, columns] after the transposition.
  void layout(cublasLtMatrixLayout_t to, const Side& side, std::int64_t rows, std::int64_t columns) {
    if (side.transposed) std::swap(rows, columns);
    accept(cublasLtMatrixLayoutInit(to, side.type, static_cast<std::uint64_t>(rows),
                                    static_cast<std::uint64_t>(columns), side.ld));
  }

  cublasStatus_t status_ = CUBLAS_STATUS_SUCCESS;
  cublasLtMatmulDescOpaque_t operation_ = {};
  cublasLtMatrixLayoutOpaque_t first_ = {}, second_ = {}, result_ = {};
};

class CublasLtProducts final : public MatrixProducts {
 public:
  explicit CublasLtProducts(cublasLtHandle_t handle) : handle_(handle) {}
  CublasLtProducts(const CublasLtProducts&) = delete;
  CublasLtProducts& operator=(const CublasLtProducts&) = delete;
  ~CublasLtProducts() override { (void)cublasLtDestroy(handle_); }

  std::size_t workspace_bytes() const override { return workspace_size; }
  std::string why_not(const MatrixProduct& p) override { return why_not(gemm_of(p)); }
  std::string why_not(const IntegerProduct& p) override { return why_not(gemm_of(p)); }
  Status multiply(const MatrixProduct& p, void* workspace, Stream stream) override {
    // float32 on both sides of the alpha and beta that every launch copies.
    constexpr float one = 1, zero = 0;
    return multiply(gemm_of(p), &one, &zero, workspace, stream);
  }
  Status multiply(const IntegerProduct& p, void* workspace, Stream stream) override {
    constexpr std::int32_t one = 1, zero = 0;
    return multiply(gemm_of(p), &one, &zero, workspace, stream);
  }

 private:
  struct Choice {
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  std::string why_not(const Gemm& g) {
    Description description(g);
    const Choice choice = chosen(g, description);
    if (choice.status == CUBLAS_STATUS_SUCCESS) return {};
    return "cuBLASLt has no algorithm for this product (" + std::string(cublasLtGetStatusString(choice.status)) +
           "): its types, row strides or alignment";
  }

  Status multiply(const Gemm& g, const void* alpha, const void* beta, void* workspace, Stream stream) {
    Description description(g);
    const Choice choice = chosen(g, description);
    if (choice.status != CUBLAS_STATUS_SUCCESS) return status_of(choice.status, "cuBLASLt has no algorithm");
    void* result = const_cast<void*>(g.result.data);
    return status_of(
        cublasLtMatmul(handle_, description.operation(), alpha, g.first.data, description.first(), g.second.data,
                       description.second(), beta, result, description.result(), result, description.result(),
                       &choice.algorithm, workspace, workspace_size, static_cast<cudaStream_t>(stream)),
        "cublasLtMatmul");
  }

  Choice chosen(const Gemm& g, Description& description) {
    const Key key = key_of(g);
    const std::lock_guard lock(mutex_);
    if (const auto found = choices_.find(key); found != choices_.end()) return found->second;
    return choices_[key] = choose(g, description);
  }

  Choice choose(const Gemm& g, Description& description) {
    Choice choice;
    choice.status = description.status();
    cublasLtMatmulPreference_t preference = nullptr;
    if (choice.status == CUBLAS_STATUS_SUCCESS) choice.status = cublasLtMatmulPreferenceCreate(&preference);
    if (choice.status != CUBLAS_STATUS_SUCCESS) return choice;
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      const cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
      if (choice.status == CUBLAS_STATUS_SUCCESS) choice.status = status;
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_size});
    // The same bits from run to run: no sums whose order the GPU's schedule decides.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(g.first.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(g.second.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(g.result.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(g.result.data));
    cublasLtMatmulHeuristicResult_t best = {};
    int count = 0;
    if (choice.status == CUBLAS_STATUS_SUCCESS) {
      choice.status =
          cublasLtMatmulAlgoGetHeuristic(handle_, description.operation(), description.first(), description.second(),
                                         description.result(), description.result(), preference, 1, &best, &count);
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
    if (choice.status == CUBLAS_STATUS_SUCCESS && count == 0) choice.status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (choice.status == CUBLAS_STATUS_SUCCESS) choice.status = best.state;
    choice.algorithm = best.algo;
    return choice;
  }

  cublasLtHandle_t handle_;
  std::mutex mutex_;
  std::map<Key, Choice> choices_;
};

}  // namespace

std::shared_ptr<MatrixProducts> open_cublaslt_products(std::string& why) {
  cublasLtHandle_t handle = nullptr;
  if (const cublasStatus_t status = cublasLtCreate(&handle); status != CUBLAS_STATUS_SUCCESS) {
    why = std::string("cublasLtCreate: ") + cublasLtGetStatusString(status);
    return nullptr;
  }
  return std::make_shared<CublasLtProducts>(handle);
}

}  // namespace normquant

#else

namespace normquant {

std::shared_ptr<MatrixProducts> open_cublaslt_products(std::string& why) {
  why = "this build has no cuBLASLt (none was found in the CUDA Toolkit when it was configured)";
  return nullptr;
}

}  // namespace normquant

#endif
