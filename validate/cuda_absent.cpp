// Stands in for the .cu files of this folder in a build without CUDA.
#ifndef NORMQUANT_WITH_CUDA

#include "validate/card.hpp"
#include "validate/shared_memory.hpp"

namespace normquant::validate {

Status poison_shared_memory(const DeviceInfo&) { return Status::infrastructure("this build has no CUDA"); }

std::string uuid_of_gpu(int) { return {}; }

std::string cuda_driver() { return {}; }

}  // namespace normquant::validate

#endif
