// cuBLASLt, loaded when the first product is asked for: it is hundreds of megabytes, and a program that lists variants or reads
// records needs none of it.
#pragma once

#include <cublasLt.h>

#include <string>

namespace normquant {

/// The library's functions, each of the type that its header declares. All are null where why_absent says something.
struct CublasLt {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_text = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulDescInit_internal) desc_init = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutInit_internal) layout_init = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  std::string why_absent;  ///< a sentence when the library cannot be loaded
};

/// Loads it at the first call: by its name, as the dynamic linker finds it, else from the CUDA Toolkit that this was built with.
const CublasLt& cublaslt();

}  // namespace normquant
