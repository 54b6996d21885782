// The tables of all algorithms, one function each, for both backends. An operation's variants are its tables' rows in
// the order given in the operation's .cpp; a new algorithm adds a declaration here and a line there.
#pragma once

#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#define NORMQUANT_DECLARE_ALGORITHMS                                             \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_one_pass();   \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_split();      \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_two_pass();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_one_pass(); \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_staged();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_striped();  \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_single();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_two_pass(); \
  const std::vector<Variant<ActivationQuant>>& activation_quant_one_pass();      \
  const std::vector<Variant<ActivationQuant>>& activation_quant_two_pass();      \
  const std::vector<Variant<WeightQuant>>& weight_quant_two_pass();              \
  const std::vector<Variant<WeightQuant>>& weight_quant_resident();

namespace normquant::host {
NORMQUANT_DECLARE_ALGORITHMS
}
namespace normquant::cuda {
NORMQUANT_DECLARE_ALGORITHMS
}

#undef NORMQUANT_DECLARE_ALGORITHMS
