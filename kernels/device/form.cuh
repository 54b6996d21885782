// What a kernel knows about its problem when it is compiled.
//
// Every tensor is optional and has a type of its own, which a kernel can ask at run time: the branch is the same for the
// whole grid. But what is never taken still costs registers and instruction cache, a third of the time at 16 rows. So the
// problems that models have are forms known at compile time, and `any` serves the rest.
#pragma once

#include <string>

#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>

#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Known forms have x, weight and all other tensors in one type, and no outputs but those named; statistics are free.
enum class Form {
  any,           ///< everything is asked at run time
  rms,           ///< RMS norm, fake-quantised output
  rms_codes,     ///< RMS norm, codes only (forward)
  rms_residual,  ///< RMS norm with residual and residual_out (backward: dresidual), fake-quantised output
  layer,         ///< layer norm with bias (backward: and dbias), fake-quantised output
  rms_gradient   ///< RMS norm, no output computed again (backward)
};

inline Form form_of(const NormQuantForward& a) {
  const auto same = [&](const auto& tensor) { return tensor.given() && tensor.type == a.x.type; };
  const bool fake_only = same(a.output.out) && a.output.codes == nullptr;
  if (!same(a.weight)) return Form::any;
  if (a.norm == NormKind::layer) {
    const bool plain = same(a.bias) && fake_only && !a.residual.given() && !a.residual_out.given();
    return plain ? Form::layer : Form::any;
  }
  if (a.bias.given()) return Form::any;
  if (same(a.residual) && same(a.residual_out) && fake_only) return Form::rms_residual;
  if (a.residual.given() || a.residual_out.given()) return Form::any;
  if (fake_only) return Form::rms;
  return a.output.out.given() ? Form::any : Form::rms_codes;
}

inline Form form_of(const NormQuantBackward& a) {
  const auto same = [&](const auto& tensor) { return tensor.given() && tensor.type == a.h.type; };
  if (!same(a.dy) || !same(a.dx) || !same(a.weight)) return Form::any;
  if (a.recomputed.codes != nullptr || a.dx_residual.given()) return Form::any;
  if (!a.recomputed.given()) {
    const bool plain = a.norm == NormKind::rms && !a.bias.given() && !a.dbias.given() && !a.dresidual.given();
    return plain ? Form::rms_gradient : Form::any;
  }
  if (!same(a.recomputed.out)) return Form::any;
  if (a.norm == NormKind::layer) {
    return same(a.bias) && a.dbias.given() && !a.dresidual.given() ? Form::layer : Form::any;
  }
  if (a.bias.given() || a.dbias.given()) return Form::any;
  if (same(a.dresidual)) return Form::rms_residual;
  return a.dresidual.given() ? Form::any : Form::rms;
}

/// Whether the backward of that form adds up dbias.
constexpr bool sums_dbias(Form form) { return form == Form::any || form == Form::layer; }

/// Why kernels that keep all tensors of the backward in h's type do not serve the problem; empty when they do.
inline std::string why_not_one_type(const NormQuantBackward& a) {
  const auto differs = [&](const auto& tensor) { return tensor.given() && tensor.type != a.h.type; };
  const bool any = differs(a.dy) || differs(a.dx) || differs(a.dresidual) || differs(a.weight) || differs(a.bias) ||
                   differs(a.recomputed.out);
  return any ? "needs dy, dx, dresidual, weight, bias and out in h's type" : "";
}

/// The answers about a problem of that form, with x (backward: h) of type X.
template <Form form, class X>
struct Known {
  static constexpr Form known_form = form;
  static constexpr bool all = form != Form::any;
  static __device__ __forceinline__ bool layer(const NormQuantForward& a) {
    return all ? form == Form::layer : a.norm == NormKind::layer;
  }
  static __device__ __forceinline__ bool weight(const NormQuantForward& a) { return all || a.weight.given(); }
  static __device__ __forceinline__ bool bias(const NormQuantForward& a) {
    return all ? form == Form::layer : a.bias.given();
  }
  static __device__ __forceinline__ bool residual(const NormQuantForward& a) {
    return all ? form == Form::rms_residual : a.residual.given();
  }
  static __device__ __forceinline__ bool residual_out(const NormQuantForward& a) {
    return all ? form == Form::rms_residual : a.residual_out.given();
  }
  static __device__ __forceinline__ bool out(const NormQuantForward& a) {
    return all ? form != Form::rms_codes : a.output.out.given();
  }
  static __device__ __forceinline__ bool codes(const NormQuantForward& a) {
    return all ? form == Form::rms_codes : a.output.codes != nullptr;
  }
  static __device__ __forceinline__ bool layer(const NormQuantBackward& a) {
    return all ? form == Form::layer : a.norm == NormKind::layer;
  }
  static __device__ __forceinline__ bool weight(const NormQuantBackward& a) { return all || a.weight.given(); }
  static __device__ __forceinline__ bool bias(const NormQuantBackward& a) {
    return all ? form == Form::layer : a.bias.given();
  }
  static __device__ __forceinline__ bool dresidual(const NormQuantBackward& a) {
    return all ? form == Form::rms_residual : a.dresidual.given();
  }
  static __device__ __forceinline__ bool dx_residual(const NormQuantBackward& a) {
    return !all && a.dx_residual.given();
  }
  static __device__ __forceinline__ bool out(const NormQuantBackward& a) {
    return all ? form != Form::rms_gradient : a.recomputed.out.given();
  }
  static __device__ __forceinline__ bool codes(const NormQuantBackward& a) {
    return !all && a.recomputed.codes != nullptr;
  }
  /// f(ElementType) for elements of `type`, which is X's in a known form.
  template <class F>
  static __device__ __forceinline__ void with_type(DType type, F&& f) {
    if constexpr (all) {
      f(ElementType<X>{});
    } else {
      with_element_type(type, f);
    }
  }
};

}  // namespace normquant::NORMQUANT_BACKEND
