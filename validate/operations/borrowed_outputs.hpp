// Arguments of one problem with the outputs of another that has the same shape and types: what a timer rotates.
#pragma once

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant::validate {

inline NormQuantForward with_outputs_of(const NormQuantForward& other, NormQuantForward a) {
  a.output = other.output;
  a.residual_out = other.residual_out;
  a.mean = other.mean;
  a.rstd = other.rstd;
  a.quant_scale = other.quant_scale;
  return a;
}

inline NormQuantBackward with_outputs_of(const NormQuantBackward& other, NormQuantBackward a) {
  a.dx = other.dx;
  a.dx_residual = other.dx_residual;
  a.dweight = other.dweight;
  a.dbias = other.dbias;
  a.recomputed = other.recomputed;
  return a;
}

inline ActivationQuant with_outputs_of(const ActivationQuant& other, ActivationQuant a) {
  a.output = other.output;
  return a;
}

inline WeightQuant with_outputs_of(const WeightQuant& other, WeightQuant a) {
  a.out = other.out;
  a.codes = other.codes;
  a.ld_codes = other.ld_codes;
  a.packed = other.packed;
  a.ld_packed = other.ld_packed;
  a.dequant_factor = other.dequant_factor;
  return a;
}

/// The quantised weights are outputs where the layer is given its weights, else inputs.
inline BitLinearForward with_outputs_of(const BitLinearForward& other, BitLinearForward a) {
  a.out = other.out;
  a.residual_out = other.residual_out;
  a.mean = other.mean;
  a.rstd = other.rstd;
  a.quant_scale = other.quant_scale;
  a.y_q = other.y_q;
  if (a.linear_weight.given()) a.layer.weights = other.layer.weights;
  return a;
}

inline BitLinearBackward with_outputs_of(const BitLinearBackward& other, BitLinearBackward a) {
  a.dx = other.dx;
  a.dx_residual = other.dx_residual;
  a.dlinear_weight = other.dlinear_weight;
  a.dlinear_bias = other.dlinear_bias;
  a.dnorm_weight = other.dnorm_weight;
  a.dnorm_bias = other.dnorm_bias;
  return a;
}

}  // namespace normquant::validate
