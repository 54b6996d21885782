#include "layer_kernels.hpp"

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
Status fill_zero(void* memory, std::size_t bytes, [[maybe_unused]] const DeviceInfo& device, Stream stream) {
  NORMQUANT_ON_BACKEND(fill_zero(memory, bytes, stream));
}

}  // namespace normquant
