// The problems that kernels know when they are compiled: pure host code (kernels ask Known, device/known.cuh).
//
// Every tensor is optional and has a type of its own, which a kernel can ask at run time: the branch is the same for the
// whole grid. But what is never taken still costs registers and instruction cache, a third of the time at 16 rows. So the
// problems that models have are forms known at compile time, and `any` serves the rest.
#pragma once

#include <string>
#include <type_traits>

#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>

namespace normquant {

/// Known forms have x, weight and all other tensors in one type, and no outputs but those named; statistics are free.
enum class Form {
  any,           ///< everything is asked at run time
  rms,           ///< RMS norm, fake-quantised output
  rms_codes,     ///< RMS norm, codes only (forward)
  rms_residual,  ///< RMS norm with residual and residual_out (backward: dresidual), fake-quantised output
  layer,         ///< layer norm with bias (backward: and dbias), fake-quantised output
  rms_gradient,  ///< RMS norm, no output computed again (backward)
  // The forward's in another format, by a given scale or with another floor than int8 usually has: which is asked at run time.
  rms_other_codes,  ///< rms_codes of 16-bit x
  any_other         ///< any
};

/// Whether kernels of that form know which tensors there are, and their types.
constexpr bool is_known(Form form) { return form != Form::any && form != Form::any_other; }

inline Form form_of(const NormQuantForward& a) {
  const auto same = [&](const auto& tensor) { return tensor.given() && tensor.type == a.x.type; };
  const bool fake_only = same(a.output.out) && a.output.codes == nullptr;
  if (!a.quantisation.is_usual()) {
    const bool plain = a.norm == NormKind::rms && same(a.weight) && !a.bias.given() && !a.residual.given() &&
                       !a.residual_out.given() && !a.output.out.given() && a.x.type != DType::float32;
    return plain ? Form::rms_other_codes : Form::any_other;
  }
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

/// f(form) with the form as an integral constant: itself when it is among the known ones, otherwise Form::any.
template <Form known, Form... others, class F>
Status with_form(Form form, F&& f) {
  if (form == known) return f(std::integral_constant<Form, known>{});
  if constexpr (sizeof...(others) > 0) {
    return with_form<others...>(form, f);
  } else {
    return f(std::integral_constant<Form, Form::any>{});
  }
}

}  // namespace normquant
