// activation_quant: contract, bytes, variants, choice.
#include <normquant/activation_quant.hpp>

#include "algorithms.hpp"
#include "choice/row_invariant.hpp"
#include "choice/tuned_variant.hpp"
#include "operation.hpp"

namespace normquant {
namespace {

std::int64_t row_bytes(const ActivationQuant& a) { return a.columns * static_cast<std::int64_t>(size_of(a.x.type)); }

}  // namespace

template <>
Status check_arguments(const ActivationQuant& a) {
  ArgumentCheck check("activation_quant");
  check.require_shape(a.rows, a.columns);
  check.check_rounding(a.rounding);
  check.require(a.x.given(), "x is null");
  check.require(a.output.given(), "both out and codes are null; at least one is needed");
  check.check_matrix("x", a.x, a.columns);
  check.check_output("out", a.output, a.columns, !a.quantisation.has_static_scale());
  check.check_quantisation(a.quantisation, a.output);
  return check.status();
}

template <>
std::int64_t algorithmic_bytes(const ActivationQuant& a) {
  const std::int64_t matrices =
      size_of(a.x.type) + (a.output.out.given() ? size_of(a.output.out.type) : 0) + (a.output.codes != nullptr ? 1 : 0);
  return a.rows * (a.columns * matrices + (a.output.dequant_scale != nullptr ? 4 : 0));
}

template <>
const std::vector<Variant<ActivationQuant>>& variants<ActivationQuant>(DeviceKind kind) {
  static const auto on_host =
      joined<ActivationQuant>({host::activation_quant_one_pass(), host::activation_quant_two_pass()});
#if defined(NORMQUANT_WITH_CUDA)
  static const auto on_cuda =
      joined<ActivationQuant>({cuda::activation_quant_one_pass(), cuda::activation_quant_two_pass()});
#else
  static const std::vector<Variant<ActivationQuant>> on_cuda;
#endif
  return kind == DeviceKind::host ? on_host : on_cuda;
}

template <>
const Variant<ActivationQuant>& choose_variant(const ActivationQuant& a, const DeviceInfo& device) {
  const auto& all = variants<ActivationQuant>(device.kind);
  if (const auto* tuned = choice::tuned_variant(all, a, device)) return *tuned;
  return nearest_variant(all, a, device, row_bytes(a));
}

template <>
const Variant<ActivationQuant>& choose_variant(const ActivationQuant& a, const DeviceInfo& device, bool row_invariant) {
  if (!row_invariant) return choose_variant(a, device);
  return choice::row_invariant_variant(variants<ActivationQuant>(device.kind), a, device, row_bytes(a));
}

template <>
Status launch(const Variant<ActivationQuant>& variant, const ActivationQuant& a, const DeviceInfo& device,
              Workspace workspace, Stream stream) {
  if (a.rows == 0) return check_arguments(a);
  return checked_launch(variant, a, device, workspace, stream);
}

}  // namespace normquant
