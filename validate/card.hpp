// Which of several devices of one kind it is, and their driver.
#pragma once

#include <string>

namespace normquant::validate {

/// "GPU-..." of CUDA device `index`, as nvidia-smi -L shows it; empty when CUDA does not say, or in a build without CUDA.
std::string uuid_of_gpu(int index);

/// Newest CUDA that the driver serves, as "13.0"; empty when CUDA does not say, or in a build without CUDA.
std::string cuda_driver();

}  // namespace normquant::validate
