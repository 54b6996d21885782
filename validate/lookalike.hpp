// Arguments of a problem without memory: right in sizes, types, strides and alignment, and never read. What a variant serves and
// where tuned tables see a problem is asked with them.
#pragma once

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "validate/problem.hpp"

namespace normquant::validate {

/// For Args in {NormQuantForward, NormQuantBackward, ActivationQuant, WeightQuant}. Tensors lie against a 256-byte boundary as
/// prepare() puts them.
template <class Args>
Args lookalike(const Problem& problem);

template <>
NormQuantForward lookalike(const Problem& problem);
template <>
NormQuantBackward lookalike(const Problem& problem);
template <>
ActivationQuant lookalike(const Problem& problem);
template <>
WeightQuant lookalike(const Problem& problem);

}  // namespace normquant::validate
