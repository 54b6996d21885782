#include "validate/side_stream.hpp"

#if defined(NORMQUANT_WITH_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace normquant::validate {

#if defined(NORMQUANT_WITH_CUDA)

std::unique_ptr<SideStream> SideStream::open(DeviceKind kind, std::string& why) {
  cudaStream_t stream = nullptr;
  if (kind == DeviceKind::cuda) {
    const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (error != cudaSuccess) {
      why = std::string("CUDA could not make a stream: ") + cudaGetErrorString(error);
      return nullptr;
    }
  }
  return std::unique_ptr<SideStream>(new SideStream(stream));
}

SideStream::~SideStream() {
  if (stream_ != nullptr) cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
}

#else

std::unique_ptr<SideStream> SideStream::open(DeviceKind, std::string&) {
  return std::unique_ptr<SideStream>(new SideStream(nullptr));
}

SideStream::~SideStream() = default;

#endif

}  // namespace normquant::validate
