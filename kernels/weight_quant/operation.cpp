// weight_quant: contract, bytes, variants, choice.
#include <normquant/weight_quant.hpp>

#include "algorithms.hpp"
#include "choice/tuned_variant.hpp"
#include "operation.hpp"

namespace normquant {

template <>
Status check_arguments(const WeightQuant& a) {
  ArgumentCheck check("weight_quant");
  check.require_shape(a.rows, a.columns);
  check.require(a.w.given(), "w is null");
  check.require(a.out.given() || a.codes != nullptr || a.packed != nullptr,
                "out, codes and packed are all null; at least one is needed");
  check.check_matrix("w", a.w, a.columns);
  check.check_matrix("out", a.out, a.columns);
  if (a.codes != nullptr) check.check_ld("codes", a.ld_codes, a.columns);
  if (a.packed != nullptr) check.check_ld("packed", a.ld_packed, packed_row_bytes(a.columns));
  check.require(a.dequant_factor != nullptr || (a.codes == nullptr && a.packed == nullptr),
                "dequant_factor is null; codes and packed mean nothing without it");
  return check.status();
}

/// w counts once, although its scale must be known before it is quantised: from a cache the second read may be free.
template <>
std::int64_t algorithmic_bytes(const WeightQuant& a) {
  const std::int64_t matrices =
      size_of(a.w.type) + (a.out.given() ? size_of(a.out.type) : 0) + (a.codes != nullptr ? 1 : 0);
  const std::int64_t packed = a.packed != nullptr ? packed_row_bytes(a.columns) : 0;
  return a.rows * (a.columns * matrices + packed) + (a.dequant_factor != nullptr ? 4 : 0);
}

template <>
const std::vector<Variant<WeightQuant>>& variants<WeightQuant>(DeviceKind kind) {
  static const auto on_host = joined<WeightQuant>({host::weight_quant_two_pass(), host::weight_quant_resident()});
#if defined(NORMQUANT_WITH_CUDA)
  static const auto on_cuda = joined<WeightQuant>({cuda::weight_quant_two_pass(), cuda::weight_quant_resident()});
#else
  static const std::vector<Variant<WeightQuant>> on_cuda;
#endif
  return kind == DeviceKind::host ? on_host : on_cuda;
}

/// Without a table the first that serves: the wide accesses before the element accesses.
template <>
const Variant<WeightQuant>& choose_variant(const WeightQuant& a, const DeviceInfo& device) {
  const auto& all = variants<WeightQuant>(device.kind);
  if (const auto* tuned = choice::tuned_variant(all, a, device)) return *tuned;
  for (const Variant<WeightQuant>& variant : all) {
    if (variant.why_not(variant, a, device).empty()) return variant;
  }
  return all.back();
}

/// A row's codes follow the scale of all rows, whatever the variant.
template <>
const Variant<WeightQuant>& choose_variant(const WeightQuant& a, const DeviceInfo& device, bool) {
  return choose_variant(a, device);
}

template <>
Status launch(const Variant<WeightQuant>& variant, const WeightQuant& a, const DeviceInfo& device, Workspace workspace,
              Stream stream) {
  if (a.rows == 0) return check_arguments(a);
  return checked_launch(variant, a, device, workspace, stream);
}

}  // namespace normquant
