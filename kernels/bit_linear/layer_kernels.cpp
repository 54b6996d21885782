#include "bit_linear/layer_kernels.hpp"

namespace normquant {

#if defined(NORMQUANT_WITH_CUDA)
#define NORMQUANT_ON_BACKEND(call) return device.kind == DeviceKind::cuda ? cuda::call : host::call
#else
#define NORMQUANT_ON_BACKEND(call) return host::call
#endif

Status scale_product(const ScaleProduct& product, const DeviceInfo& device, Stream stream) {
  NORMQUANT_ON_BACKEND(scale_product(product, device, stream));
}
Status packed_product(const PackedProduct& product, const DeviceInfo& device, Stream stream) {
  NORMQUANT_ON_BACKEND(packed_product(product, device, stream));
}
Status sum_rows(const RowSums& sums, const DeviceInfo& device, Stream stream) {
  NORMQUANT_ON_BACKEND(sum_rows(sums, device, stream));
}
std::string lacks_fused_product(const DeviceInfo& device) {
#if defined(NORMQUANT_WITH_HOPPER)
  if (device.kind == DeviceKind::cuda) return cuda::lacks_fused_product(device);
#endif
  return device.kind == DeviceKind::host ? "needs a GPU of compute capability 9.0 (Hopper)"
                                         : "this build has no code for Hopper (needs nvcc 12.0 or later)";
}
std::string why_not_fused_product([[maybe_unused]] const FusedProduct& product, const DeviceInfo& device) {
#if defined(NORMQUANT_WITH_HOPPER)
  if (device.kind == DeviceKind::cuda) return cuda::why_not_fused_product(product, device);
#endif
  return lacks_fused_product(device);
}
Status fused_product([[maybe_unused]] const FusedProduct& product, const DeviceInfo& device,
                     [[maybe_unused]] Stream stream) {
#if defined(NORMQUANT_WITH_HOPPER)
  if (device.kind == DeviceKind::cuda) return cuda::fused_product(product, device, stream);
#endif
  return Status::unsupported("fused_product: " + why_not_fused_product(product, device));
}
Status fill_zero(void* memory, std::size_t bytes, [[maybe_unused]] const DeviceInfo& device, Stream stream) {
  NORMQUANT_ON_BACKEND(fill_zero(memory, bytes, stream));
}

}  // namespace normquant
