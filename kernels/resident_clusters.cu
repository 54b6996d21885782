// How many clusters of blocks run at a time when every block takes a whole multiprocessor. Multiprocessors come in groups
// that a cluster cannot span, so that it is fewer than their number over the cluster's.
#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

[[maybe_unused]] __global__ void takes_a_multiprocessor() {}

}  // namespace

/// Clusters of `blocks` blocks, each with `shared_bytes` of shared memory; 0 where there are none of that size.
int resident_clusters([[maybe_unused]] int blocks, [[maybe_unused]] std::size_t shared_bytes) {
  int clusters = 0;
#if defined(__CUDACC__)
  const auto* kernel = reinterpret_cast<const void*>(takes_a_multiprocessor);
  LaunchShape shape;
  shape.shared_bytes = shared_bytes;
  shape.cluster = static_cast<unsigned>(blocks);
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = shape.cluster;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3{shape.cluster, 1, 1};
  config.blockDim = dim3{32, 1, 1};
  config.dynamicSmemBytes = shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  cudaError_t error = ask_for_more(kernel, shape);
  if (error == cudaSuccess) error = cudaOccupancyMaxActiveClusters(&clusters, kernel, &config);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();  // not left for the next call to find
    clusters = 0;
  }
#endif
  return clusters;
}

}  // namespace normquant::NORMQUANT_BACKEND
