// The arguments of the operations as normquant_plugin.h lays them out.
#pragma once

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/device.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "plugin/normquant_plugin.h"

namespace normquant::plugins {

normquant_forward_args in_c(const NormQuantForward& args);
normquant_backward_args in_c(const NormQuantBackward& args);
normquant_activation_args in_c(const ActivationQuant& args);
normquant_weight_args in_c(const WeightQuant& args);
normquant_bit_linear_forward_args in_c(const BitLinearForward& args);
normquant_bit_linear_backward_args in_c(const BitLinearBackward& args);
normquant_device in_c(const DeviceInfo& device);

}  // namespace normquant::plugins
