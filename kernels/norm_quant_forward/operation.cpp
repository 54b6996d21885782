// norm_quant_forward: contract, bytes, variants, choice.
#include <normquant/norm_quant_forward.hpp>

#include <cmath>

#include "algorithms.hpp"
#include "choice/row_invariant.hpp"
#include "choice/tuned_variant.hpp"
#include "operation.hpp"

namespace normquant {
namespace {

std::int64_t row_bytes(const NormQuantForward& a) { return a.columns * static_cast<std::int64_t>(size_of(a.x.type)); }

}  // namespace

template <>
Status check_arguments(const NormQuantForward& a) {
  ArgumentCheck check("norm_quant_forward");
  check.require_shape(a.rows, a.columns);
  check.check_norm(a.norm);
  check.check_rounding(a.rounding);
  check.require(a.h_source == HSource::unrounded || a.h_source == HSource::stored, "h_source is not a known value");
  check.require(a.eps > 0 && std::isfinite(a.eps),
                "eps is " + std::to_string(a.eps) + "; it must be positive and finite");
  check.require(a.x.given(), "x is null");
  check.require(a.output.given(), "both out and codes are null; at least one is needed");
  check.check_matrix("x", a.x, a.columns);
  check.check_matrix("residual", a.residual, a.columns);
  check.check_matrix("residual_out", a.residual_out, a.columns);
  check.check_vector("weight", a.weight);
  check.check_vector("bias", a.bias);
  check.check_output("out", a.output, a.columns, !a.quantisation.has_static_scale());
  check.check_quantisation(a.quantisation, a.output);
  check.require(a.h_source == HSource::unrounded || a.residual_out.given() || !a.residual.given(),
                "h_source is stored, but residual_out, which says in what type, is null");
  check.require(a.norm == NormKind::layer || a.mean == nullptr, "mean is given, but RMS norm has none");
  check.require(!a.quantisation.has_static_scale() || a.quant_scale == nullptr,
                "quant_scale is given, but a static scale has no value a row");
  return check.status();
}

template <>
std::int64_t algorithmic_bytes(const NormQuantForward& a) {
  const auto element = [](const auto& tensor) -> std::int64_t { return tensor.given() ? size_of(tensor.type) : 0; };
  const std::int64_t matrices = element(a.x) + element(a.residual) + element(a.residual_out) + element(a.output.out) +
                                (a.output.codes != nullptr ? 1 : 0);
  const std::int64_t row_values = (a.mean != nullptr ? 1 : 0) + (a.rstd != nullptr ? 1 : 0) +
                                  (a.quant_scale != nullptr ? 1 : 0) + (a.output.dequant_scale != nullptr ? 1 : 0);
  return a.rows * (a.columns * matrices + 4 * row_values) + a.columns * (element(a.weight) + element(a.bias));
}

template <>
const std::vector<Variant<NormQuantForward>>& variants<NormQuantForward>(DeviceKind kind) {
  static const auto on_host = joined<NormQuantForward>(
      {host::norm_quant_forward_one_pass(), host::norm_quant_forward_split(), host::norm_quant_forward_two_pass()});
#if defined(NORMQUANT_WITH_CUDA)
  static const auto on_cuda = joined<NormQuantForward>(
      {cuda::norm_quant_forward_one_pass(), cuda::norm_quant_forward_split(), cuda::norm_quant_forward_two_pass()});
#else
  static const std::vector<Variant<NormQuantForward>> on_cuda;
#endif
  return kind == DeviceKind::host ? on_host : on_cuda;
}

template <>
const Variant<NormQuantForward>& choose_variant(const NormQuantForward& a, const DeviceInfo& device) {
  const auto& all = variants<NormQuantForward>(device.kind);
  if (const auto* tuned = choice::tuned_variant(all, a, device)) return *tuned;
  return nearest_variant(all, a, device, row_bytes(a));
}

template <>
const Variant<NormQuantForward>& choose_variant(const NormQuantForward& a, const DeviceInfo& device,
                                                bool row_invariant) {
  if (!row_invariant) return choose_variant(a, device);
  return choice::row_invariant_variant(variants<NormQuantForward>(device.kind), a, device, row_bytes(a));
}

template <>
Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream) {
  if (a.rows == 0) return check_arguments(a);
  return checked_launch(variant, a, device, workspace, stream);
}

}  // namespace normquant
