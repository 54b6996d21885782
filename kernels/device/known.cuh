// What a kernel knows about its problem when it is compiled (device/form.hpp).
#pragma once

#include "device/element.cuh"
#include "device/form.hpp"

namespace normquant::NORMQUANT_BACKEND {

/// The answers about a problem of that form, with x (backward: h) of type X.
template <Form form, class X>
struct Known {
  static constexpr Form known_form = form;
  static constexpr bool all = is_known(form);
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
    return all ? form != Form::rms_codes && form != Form::rms_other_codes : a.output.out.given();
  }
  static __device__ __forceinline__ bool codes(const NormQuantForward& a) {
    return all ? form == Form::rms_codes || form == Form::rms_other_codes : a.output.codes != nullptr;
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
