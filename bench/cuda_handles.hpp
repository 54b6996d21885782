// CUDA handles that destroy themselves, and CUDA's errors as a Status. For this folder's .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <string>
#include <utility>
#include <normquant/status.hpp>

namespace normquant::bench {

inline Status status_of(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();  // not left for the next call to find
  return Status::infrastructure(std::string(call) + ": " + cudaGetErrorString(error));
}

/// Returns a failed Status from the calling function.
#define NORMQUANT_TRY(call)                                                                           \
  do {                                                                                                \
    if (Status status_ = ::normquant::bench::status_of((call), #call); !status_.ok()) return status_; \
  } while (false)

template <class Handle, cudaError_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_ != nullptr) (void)destroy(handle_);
  }
  Handle get() const { return handle_; }
  Handle* put() { return &handle_; }

 private:
  Handle handle_ = nullptr;
};
using OwnedStream = Owned<cudaStream_t, cudaStreamDestroy>;
using OwnedEvent = Owned<cudaEvent_t, cudaEventDestroy>;
using OwnedGraph = Owned<cudaGraph_t, cudaGraphDestroy>;
using OwnedReplay = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using OwnedMemory = Owned<void*, cudaFree>;
using OwnedPinned = Owned<void*, cudaFreeHost>;

}  // namespace normquant::bench
