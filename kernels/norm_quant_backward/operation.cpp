// norm_quant_backward: contract, bytes, variants, choice.
#include <normquant/norm_quant_backward.hpp>

#include "algorithms.hpp"
#include "choice/row_invariant.hpp"
#include "choice/tuned_variant.hpp"
#include "operation.hpp"

namespace normquant {
namespace {

std::int64_t row_bytes(const NormQuantBackward& a) { return a.columns * static_cast<std::int64_t>(size_of(a.h.type)); }

}  // namespace

template <>
Status check_arguments(const NormQuantBackward& a) {
  ArgumentCheck check("norm_quant_backward");
  check.require_shape(a.rows, a.columns);
  check.check_norm(a.norm);
  check.check_rounding(a.rounding);
  check.require(a.dy.given(), "dy is null");
  check.require(a.h.given(), "h is null");
  check.require(a.dx.given(), "dx is null");
  check.require(a.rstd != nullptr, "rstd is null");
  check.require(a.norm == NormKind::rms || a.mean != nullptr, "mean is null, but layer norm needs it");
  check.require(a.norm == NormKind::layer || a.mean == nullptr, "mean is given, but RMS norm has none");
  check.check_matrix("dy", a.dy, a.columns);
  check.check_matrix("h", a.h, a.columns);
  check.check_matrix("dresidual", a.dresidual, a.columns);
  check.check_matrix("dx", a.dx, a.columns);
  check.check_matrix("dx_residual", a.dx_residual, a.columns);
  check.check_vector("weight", a.weight);
  check.check_vector("bias", a.bias);
  check.check_vector("dweight", a.dweight);
  check.check_vector("dbias", a.dbias);
  check.check_output("recomputed.out", a.recomputed, a.columns);
  check.require(
      a.recomputed.given() || a.recomputed.dequant_scale == nullptr,
      "recomputed.dequant_scale is given, but recomputed.out and recomputed.codes, whose it would be, are null");
  return check.status();
}

template <>
std::int64_t algorithmic_bytes(const NormQuantBackward& a) {
  const auto element = [](const auto& tensor) -> std::int64_t { return tensor.given() ? size_of(tensor.type) : 0; };
  const std::int64_t matrices = element(a.dy) + element(a.h) + element(a.dresidual) + element(a.dx) +
                                element(a.dx_residual) + element(a.recomputed.out) +
                                (a.recomputed.codes != nullptr ? 1 : 0);
  const std::int64_t row_values = 1 + (a.mean != nullptr ? 1 : 0) + (a.quant_scale != nullptr ? 1 : 0) +
                                  (a.recomputed.dequant_scale != nullptr ? 1 : 0);
  const std::int64_t vectors = element(a.weight) + element(a.bias) + element(a.dweight) + element(a.dbias);
  return a.rows * (a.columns * matrices + 4 * row_values) + a.columns * vectors;
}

template <>
const std::vector<Variant<NormQuantBackward>>& variants<NormQuantBackward>(DeviceKind kind) {
  static const auto on_host = joined<NormQuantBackward>(
      {host::norm_quant_backward_single(), host::norm_quant_backward_staged(), host::norm_quant_backward_striped(),
       host::norm_quant_backward_one_pass(), host::norm_quant_backward_two_pass()});
#if defined(NORMQUANT_WITH_CUDA)
  static const auto on_cuda = joined<NormQuantBackward>(
      {cuda::norm_quant_backward_single(), cuda::norm_quant_backward_staged(), cuda::norm_quant_backward_striped(),
       cuda::norm_quant_backward_one_pass(), cuda::norm_quant_backward_two_pass()});
#else
  static const std::vector<Variant<NormQuantBackward>> on_cuda;
#endif
  return kind == DeviceKind::host ? on_host : on_cuda;
}

template <>
const Variant<NormQuantBackward>& choose_variant(const NormQuantBackward& a, const DeviceInfo& device) {
  const auto& all = variants<NormQuantBackward>(device.kind);
  if (const auto* tuned = choice::tuned_variant(all, a, device)) return *tuned;
  return nearest_variant(all, a, device, row_bytes(a));
}

template <>
const Variant<NormQuantBackward>& choose_variant(const NormQuantBackward& a, const DeviceInfo& device,
                                                 bool row_invariant) {
  if (!row_invariant) return choose_variant(a, device);
  return choice::row_invariant_variant(variants<NormQuantBackward>(device.kind), a, device, row_bytes(a));
}

/// Also for M = 0: dweight and dbias become zeros.
template <>
Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream) {
  return checked_launch(variant, a, device, workspace, stream);
}

}  // namespace normquant
