// The steps of bit_linear_forward before the product: weights and rows are quantised.
#pragma once

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_forward.hpp>

#include <optional>

#include "bit_linear/layer_arguments.hpp"
#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/scratch.hpp"
#include "device/support.hpp"

namespace normquant {

/// The norm's arguments; y_q goes where the caller asked for it, and may be missing.
inline NormQuantForward norm_arguments(const BitLinearForward& a) {
  NormQuantForward args;
  args.rows = a.rows;
  args.columns = a.layer.k_in;
  args.norm = a.layer.norm;
  args.rounding = a.layer.rounding;
  args.h_source = a.layer.h_source;
  args.eps = a.layer.eps;
  args.x = a.x;
  args.residual = a.residual;
  args.weight = a.layer.norm_weight;
  args.bias = a.layer.norm_bias;
  args.residual_out = a.residual_out;
  args.mean = a.mean;
  args.rstd = a.rstd;
  args.quant_scale = a.quant_scale;
  args.output = a.y_q;
  return args;
}

/// The steps before the product. y_q is written in the form that the product reads; a form that the caller asked for goes to
/// the caller's memory, and is read from there.
struct Quantised {
  std::optional<Step<WeightQuant>> weights;
  Step<NormQuantForward> norm;

  Quantised(const BitLinearForward& a, bool needs_codes, const DeviceInfo& device, Scratch& scratch) {
    if (a.linear_weight.given()) {
      weights = Step<WeightQuant>(weight_quant_of(a.layer, a.linear_weight), device, scratch);
    }
    NormQuantForward args = norm_arguments(a);
    QuantOutput& y_q = args.output;
    if (needs_codes && y_q.codes == nullptr) {
      y_q.ld_codes = divide_up(args.columns, 16) * 16;
      y_q.codes = static_cast<std::int8_t*>(scratch.take(static_cast<std::size_t>(a.rows * y_q.ld_codes)));
    }
    if (needs_codes && y_q.dequant_scale == nullptr) {
      y_q.dequant_scale = static_cast<float*>(scratch.take(sizeof(float) * static_cast<std::size_t>(a.rows)));
    }
    if (!needs_codes && !y_q.out.given()) y_q.out = scratch.take_matrix(a.layer.operand, a.rows, args.columns);
    norm = Step<NormQuantForward>(args, device, scratch, a.layer.row_invariant);
  }

  Status launch(const DeviceInfo& device, Stream stream) const {
    if (weights) {
      if (Status status = weights->launch(device, stream); !status.ok()) return status;
    }
    return norm.launch(device, stream);
  }
  CodeScales scales(const BitLinearForward& a) const {
    return {norm.args.output.dequant_scale, a.layer.weights.dequant_factor,
            a.layer.adds_bias() ? a.layer.linear_bias : ConstVector{}};
  }
};

}  // namespace normquant
