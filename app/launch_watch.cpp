#include "app/launch_watch.hpp"

#ifdef NORMQUANT_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace normquant::gate {

std::vector<SeenLaunch>*& launches_seen() {
  thread_local std::vector<SeenLaunch>* seen = nullptr;
  return seen;
}

}  // namespace normquant::gate

#ifdef NORMQUANT_WITH_CUDA
namespace {

std::string attribute_text(const cudaLaunchAttribute& attribute) {
  std::string text = std::to_string(static_cast<int>(attribute.id)) + ":";
  switch (attribute.id) {
    case cudaLaunchAttributeClusterDimension:
      return text + std::to_string(attribute.val.clusterDim.x) + "." + std::to_string(attribute.val.clusterDim.y) +
             "." + std::to_string(attribute.val.clusterDim.z);
    case cudaLaunchAttributeCooperative: return text + std::to_string(attribute.val.cooperative);
    case cudaLaunchAttributeProgrammaticStreamSerialization:
      return text + std::to_string(attribute.val.programmaticStreamSerializationAllowed);
    default: return text + "unknown";
  }
}

normquant::gate::SeenLaunch seen_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  normquant::gate::SeenLaunch seen;
#if CUDART_VERSION >= 12030
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr) seen.kernel = name;
#else
  (void)kernel;
#endif
  seen.grid = {config.gridDim.x, config.gridDim.y, config.gridDim.z};
  seen.block = {config.blockDim.x, config.blockDim.y, config.blockDim.z};
  seen.shared_bytes = config.dynamicSmemBytes;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    seen.attributes += (i > 0 ? " " : "") + attribute_text(config.attrs[i]);
  }
  return seen;
}

}  // namespace

// The names are the linker's: it sends calls of cudaLaunchKernelExC to the first, and those of the second to CUDA.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" cudaError_t __real_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                                  void** arguments);
extern "C" cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                                  void** arguments) {
  if (auto* seen = normquant::gate::launches_seen()) seen->push_back(seen_launch(*config, kernel));
  return __real_cudaLaunchKernelExC(config, kernel, arguments);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
#endif
