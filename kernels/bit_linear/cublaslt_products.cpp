// Products on a GPU: cuBLASLt's, its algorithms chosen once a product.
//
// cuBLASLt's matrices are column-major: a row-major matrix is its transpose there, and d = op(a) op(b) becomes
// d^T = op(b)^T op(a)^T, so its first operand is b and its second a.
#include "bit_linear/matrix_products.hpp"

#if defined(NORMQUANT_WITH_CUBLASLT)
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "bit_linear/cublaslt_library.hpp"

namespace normquant {
namespace {

/// What NVIDIA recommends for Hopper (cuBLAS documentation, "cublasSetWorkspace()"): 32 MiB.
constexpr std::size_t workspace_size = std::size_t{32} << 20;

Status status_of(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return Status::infrastructure(std::string(what) + ": " + cublaslt().status_text(status));
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
    accept(cublaslt().desc_init(&operation_, sizeof operation_, g.compute, scale));
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
    accept(cublaslt().desc_set(&operation_, attribute, &value, sizeof value));
  }
  /// The matrix is [rows, columns] after the transposition.
  void layout(cublasLtMatrixLayout_t to, const Side& side, std::int64_t rows, std::int64_t columns) {
    if (side.transposed) std::swap(rows, columns);
    accept(cublaslt().layout_init(to, sizeof *to, side.type, static_cast<std::uint64_t>(rows),
                                  static_cast<std::uint64_t>(columns), side.ld));
  }

  cublasStatus_t status_ = CUBLAS_STATUS_SUCCESS;
  cublasLtMatmulDescOpaque_t operation_ = {};
  cublasLtMatrixLayoutOpaque_t first_ = {}, second_ = {}, result_ = {};
};

/// Two events around what is timed.
class Events {
 public:
  Events() {
    (void)cudaEventCreate(&start_);
    (void)cudaEventCreate(&stop_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events() {
    (void)cudaEventDestroy(start_);
    (void)cudaEventDestroy(stop_);
  }
  void start(Stream stream) const { (void)cudaEventRecord(start_, static_cast<cudaStream_t>(stream)); }
  /// Waits; false when anything failed.
  bool stop(Stream stream, float& milliseconds) const {
    return cudaEventRecord(stop_, static_cast<cudaStream_t>(stream)) == cudaSuccess &&
           cudaEventSynchronize(stop_) == cudaSuccess &&
           cudaEventElapsedTime(&milliseconds, start_, stop_) == cudaSuccess;
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

class CublasLtProducts final : public MatrixProducts {
 public:
  explicit CublasLtProducts(cublasLtHandle_t handle) : handle_(handle) {}
  CublasLtProducts(const CublasLtProducts&) = delete;
  CublasLtProducts& operator=(const CublasLtProducts&) = delete;
  ~CublasLtProducts() override { (void)cublaslt().destroy(handle_); }

  std::size_t workspace_bytes() const override { return workspace_size; }
  std::string why_not(const MatrixProduct& p) override { return why_not(gemm_of(p)); }
  std::string why_not(const IntegerProduct& p) override {
    // Its heuristics offer algorithms for operands that a launch then refuses.
    constexpr std::int64_t needed = 16;
    const bool aligned =
        alignment_of(p.a) >= needed && alignment_of(p.b) >= needed && p.lda % needed == 0 && p.ldb % needed == 0;
    return aligned ? why_not(gemm_of(p)) : "needs rows of codes that start at multiples of 16 bytes";
  }
  Status multiply(const MatrixProduct& p, void* workspace, Stream stream) override {
    return multiply(gemm_of(p), workspace, stream);
  }
  Status multiply(const IntegerProduct& p, void* workspace, Stream stream) override {
    return multiply(gemm_of(p), workspace, stream);
  }
  Status tune(const MatrixProduct& p, void* workspace, Stream stream) override {
    return tune(gemm_of(p), workspace, stream);
  }
  Status tune(const IntegerProduct& p, void* workspace, Stream stream) override {
    return tune(gemm_of(p), workspace, stream);
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
    return "cuBLASLt has no algorithm for this product (" + std::string(cublaslt().status_text(choice.status)) +
           "): its types, row strides or alignment";
  }

  Status multiply(const Gemm& g, void* workspace, Stream stream) {
    Description description(g);
    const Choice choice = chosen(g, description);
    if (choice.status != CUBLAS_STATUS_SUCCESS) return status_of(choice.status, "cuBLASLt has no algorithm");
    return multiply(g, description, choice.algorithm, workspace, stream);
  }

  Choice chosen(const Gemm& g, Description& description) {
    const Key key = key_of(g);
    const std::lock_guard lock(mutex_);
    if (const auto found = choices_.find(key); found != choices_.end()) return found->second;
    return choices_[key] = choose(g, description);
  }

  Status multiply(const Gemm& g, Description& description, const cublasLtMatmulAlgo_t& algorithm, void* workspace,
                  Stream stream) {
    // alpha and beta in the product's own arithmetic; a launch copies them.
    constexpr float one = 1, zero = 0;
    constexpr std::int32_t integer_one = 1, integer_zero = 0;
    const bool integer = g.compute == CUBLAS_COMPUTE_32I;
    const void* alpha = integer ? static_cast<const void*>(&integer_one) : &one;
    const void* beta = integer ? static_cast<const void*>(&integer_zero) : &zero;
    void* result = const_cast<void*>(g.result.data);
    return status_of(
        cublaslt().matmul(handle_, description.operation(), alpha, g.first.data, description.first(), g.second.data,
                          description.second(), beta, result, description.result(), result, description.result(),
                          &algorithm, workspace, workspace_size, static_cast<cudaStream_t>(stream)),
        "cublasLtMatmul");
  }

  /// The candidate with the least median of a few launches.
  Status tune(const Gemm& g, void* workspace, Stream stream) {
    constexpr int candidates = 12, launches = 7;
    Description description(g);
    std::array<cublasLtMatmulHeuristicResult_t, candidates> results = {};
    int count = 0;
    const cublasStatus_t asked = candidates_of(g, description, candidates, results.data(), count);
    if (asked != CUBLAS_STATUS_SUCCESS) return status_of(asked, "cuBLASLt has no algorithm");
    float least = 0;
    const cublasLtMatmulAlgo_t* best = nullptr;
    const Events events;
    for (int i = 0; i < count; ++i) {
      if (results[static_cast<std::size_t>(i)].state != CUBLAS_STATUS_SUCCESS) continue;
      const cublasLtMatmulAlgo_t& algorithm = results[static_cast<std::size_t>(i)].algo;
      std::array<float, launches> times = {};
      for (float& milliseconds : times) {
        events.start(stream);
        if (Status status = multiply(g, description, algorithm, workspace, stream); !status.ok()) return status;
        if (!events.stop(stream, milliseconds)) return Status::infrastructure("timing a product failed");
      }
      std::sort(times.begin(), times.end());
      const float median = times[launches / 2];
      // The library's own first choice stands unless another is clearly faster.
      if (best == nullptr || median < least * (i == 0 ? 1.0F : 0.99F)) least = median, best = &algorithm;
    }
    if (best == nullptr) return {};
    const std::lock_guard lock(mutex_);
    choices_[key_of(g)] = {CUBLAS_STATUS_SUCCESS, *best};
    return {};
  }

  Choice choose(const Gemm& g, Description& description) {
    Choice choice;
    cublasLtMatmulHeuristicResult_t best = {};
    int count = 0;
    choice.status = candidates_of(g, description, 1, &best, count);
    if (choice.status == CUBLAS_STATUS_SUCCESS) choice.status = best.state;
    choice.algorithm = best.algo;
    return choice;
  }

  /// The library's candidates, most promising first; an error when there is none.
  cublasStatus_t candidates_of(const Gemm& g, Description& description, int most,
                               cublasLtMatmulHeuristicResult_t* results, int& count) {
    cublasStatus_t status = description.status();
    cublasLtMatmulPreference_t preference = nullptr;
    if (status == CUBLAS_STATUS_SUCCESS) status = cublaslt().preference_create(&preference);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      const cublasStatus_t answer = cublaslt().preference_set(preference, attribute, &value, sizeof value);
      if (status == CUBLAS_STATUS_SUCCESS) status = answer;
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_size});
    // The same bits from run to run: no sums whose order the GPU's schedule decides.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(g.first.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(g.second.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(g.result.data));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(g.result.data));
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = cublaslt().heuristic(handle_, description.operation(), description.first(), description.second(),
                                    description.result(), description.result(), preference, most, results, &count);
    }
    (void)cublaslt().preference_destroy(preference);
    if (status == CUBLAS_STATUS_SUCCESS && count == 0) status = CUBLAS_STATUS_NOT_SUPPORTED;
    return status;
  }

  cublasLtHandle_t handle_;
  std::mutex mutex_;
  std::map<Key, Choice> choices_;
};

}  // namespace

std::shared_ptr<MatrixProducts> open_cublaslt_products(std::string& why) {
  if (!cublaslt().why_absent.empty()) {
    why = cublaslt().why_absent;
    return nullptr;
  }
  cublasLtHandle_t handle = nullptr;
  if (const cublasStatus_t status = cublaslt().create(&handle); status != CUBLAS_STATUS_SUCCESS) {
    why = std::string("cublasLtCreate: ") + cublaslt().status_text(status);
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
