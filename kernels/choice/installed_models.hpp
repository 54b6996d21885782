// The models of costs that choose_variant asks at shapes that were never timed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

#include "choice/cost_model.hpp"

namespace normquant::choice {

/// The texts of kernels/choice/*.model, compiled in.
const std::vector<std::string_view>& compiled_models();

/// Gives every variant of the model its tuning and its place in variants<Args>(). False, with a sentence, when this build lacks
/// one; it is never ranked then.
bool find_variants(CostModel& model, std::string& why);

/// The model of this very device; null when there is none.
const CostModel* model_for(const DeviceInfo& device);

}  // namespace normquant::choice
