// Stands in for the .cu files of this folder in a build without CUDA.
#ifndef NORMQUANT_WITH_CUDA

#include "validate/shared_memory.hpp"

namespace normquant::validate {

Status poison_shared_memory(const DeviceInfo&) { return Status::infrastructure("this build has no CUDA"); }

}  // namespace normquant::validate

#endif
