// A plugin for CUDA: activation_quant with one block a row, which reads the row twice.
//
//   nvcc -shared -Xcompiler -fPIC -I kernels/plugin examples/plugin/row_block.cu -o row_block.so
//   normquant validate --device cuda --plugin row_block.so --op activation_quant --variant row_block
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdio>

#include "normquant_plugin.h"

namespace {

constexpr int threads = 256;

__device__ float load(const normquant_const_matrix& m, int64_t row, int64_t column) {
  const int64_t at = row * m.ld + column;
  if (m.dtype == NORMQUANT_FLOAT32) return static_cast<const float*>(m.data)[at];
  if (m.dtype == NORMQUANT_FLOAT16) return __half2float(static_cast<const __half*>(m.data)[at]);
  return __bfloat162float(static_cast<const __nv_bfloat16*>(m.data)[at]);
}

__device__ void store(const normquant_matrix& m, int64_t row, int64_t column, float value) {
  const int64_t at = row * m.ld + column;
  if (m.dtype == NORMQUANT_FLOAT32) {
    static_cast<float*>(m.data)[at] = value;
  } else if (m.dtype == NORMQUANT_FLOAT16) {
    static_cast<__half*>(m.data)[at] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(m.data)[at] = __float2bfloat16_rn(value);
  }
}

/// The larger magnitude; NaN when either is not finite. fmaxf alone would lose NaN.
__device__ float larger(float a, float b) { return isfinite(a) && isfinite(b) ? fmaxf(fabsf(a), fabsf(b)) : nanf(""); }

__device__ float block_absmax(float own) {
  __shared__ float kept[threads];
  kept[threadIdx.x] = own;
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) kept[threadIdx.x] = larger(kept[threadIdx.x], kept[threadIdx.x + half]);
  }
  __syncthreads();
  return kept[0];
}

__global__ void quantise_rows(normquant_activation_args a) {
  const int64_t row = blockIdx.x;
  float own = 0;
  for (int64_t j = threadIdx.x; j < a.columns; j += threads) own = larger(own, load(a.x, row, j));
  const float absmax = block_absmax(own);
  const bool finite = isfinite(absmax);
  const float divisor = finite ? fmaxf(absmax, 1e-5F) : nanf("");
  const float quant_scale = 127.0F / divisor;
  for (int64_t j = threadIdx.x; j < a.columns; j += threads) {
    const float t = load(a.x, row, j) * quant_scale;
    const float code = fminf(fmaxf(a.rounding == NORMQUANT_HALF_AWAY ? roundf(t) : rintf(t), -128.0F), 127.0F);
    if (a.output.out.data != nullptr) store(a.output.out, row, j, finite ? code / quant_scale : divisor);
    if (a.output.codes != nullptr) a.output.codes[row * a.output.ld_codes + j] = finite ? static_cast<int8_t>(code) : 0;
  }
  if (threadIdx.x == 0 && a.output.dequant_scale != nullptr) a.output.dequant_scale[row] = divisor / 127.0F;
}

int launch(const normquant_variant*, const void* args, const normquant_device*, void*, void* stream, char* why,
           size_t why_size) {
  const auto& a = *static_cast<const normquant_activation_args*>(args);
  quantise_rows<<<static_cast<unsigned>(a.rows), threads, 0, static_cast<cudaStream_t>(stream)>>>(a);
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return 0;
  std::snprintf(why, why_size, "the launch: %s", cudaGetErrorString(error));
  return 1;
}

const normquant_variant variants[] = {{NORMQUANT_ACTIVATION_QUANT, NORMQUANT_CUDA, /*reproducible=*/1, 0, "row_block",
                                       "one block a row, read twice", nullptr, nullptr, nullptr, launch}};
const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, 1, "example", variants};

}  // namespace

extern "C" NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : nullptr;
}
