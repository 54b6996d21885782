// What is left in a GPU's shared memory.
#pragma once

#include <normquant/device.hpp>

namespace normquant::validate {

/// Fills the shared memory of every multiprocessor of the current CUDA device with ones, which are
/// NaN in every floating type, as far as one block may have it. CUDA does not promise what a later
/// kernel finds there: the more shared memory it asks for, the likelier it is this. Infrastructure
/// failure where the build has no CUDA.
Status poison_shared_memory(const DeviceInfo& device);

}  // namespace normquant::validate
