#if defined(NORMQUANT_WITH_CUBLASLT)
#include "bit_linear/cublaslt_library.hpp"

#include <dlfcn.h>

namespace normquant {
namespace {

template <class Function>
void find(void* library, const char* name, Function& function, std::string& why_absent) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr && why_absent.empty()) {
    why_absent = std::string("the cuBLASLt that is installed here has no ") + name;
  }
}

CublasLt loaded() {
  CublasLt lt;
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = dlopen((NORMQUANT_CUBLASLT_FOLDER "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    lt.why_absent = "cuBLASLt cannot be loaded (" + std::string(dlerror()) + "); install the CUDA Toolkit's " + name;
    return lt;
  }
  find(library, "cublasLtCreate", lt.create, lt.why_absent);
  find(library, "cublasLtDestroy", lt.destroy, lt.why_absent);
  find(library, "cublasLtGetStatusString", lt.status_text, lt.why_absent);
  find(library, "cublasLtMatmul", lt.matmul, lt.why_absent);
  find(library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic, lt.why_absent);
  find(library, "cublasLtMatmulDescInit_internal", lt.desc_init, lt.why_absent);
  find(library, "cublasLtMatmulDescSetAttribute", lt.desc_set, lt.why_absent);
  find(library, "cublasLtMatrixLayoutInit_internal", lt.layout_init, lt.why_absent);
  find(library, "cublasLtMatmulPreferenceCreate", lt.preference_create, lt.why_absent);
  find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set, lt.why_absent);
  find(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy, lt.why_absent);
  return lt;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt lt = loaded();
  return lt;
}

}  // namespace normquant
#endif
