// What a launcher asks about a problem before it says yes: alignment, lengths, block counts.
#pragma once

#include <cstdint>
#include <string>

#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/types.hpp>

namespace normquant {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Whether V elements from every V-th column of every row can be moved in accesses of min(16, V * element) bytes.
inline bool packets_aligned(const void* data, std::int64_t ld, std::size_t element_bytes, int elements) {
  const std::size_t bytes = elements * element_bytes < 16 ? elements * element_bytes : 16;
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 &&
         static_cast<std::size_t>(ld) * element_bytes % bytes == 0;
}
template <class Void>
bool packets_aligned(const BasicMatrix<Void>& matrix, int elements) {
  return !matrix.given() || packets_aligned(matrix.data, matrix.ld, size_of(matrix.type), elements);
}
template <class Void>
bool packets_aligned(const BasicVector<Void>& vector, int elements) {
  return !vector.given() || packets_aligned(vector.data, 0, size_of(vector.type), elements);
}
inline bool packets_aligned(const QuantOutput& output, int elements) {
  return packets_aligned(output.out, elements) &&
         (output.codes == nullptr || packets_aligned(output.codes, output.ld_codes, 1, elements));
}

/// Elements that one access of `access_bytes` moves; 1 when the access is narrower than an element.
constexpr int elements_per_access(int access_bytes, DType type) {
  return access_bytes <= static_cast<int>(size_of(type)) ? 1 : access_bytes / static_cast<int>(size_of(type));
}

/// Why rows of N columns cannot be cut into aligned packets of `elements`; empty when they can.
/// `tensors` are matrices, vectors and outputs for which packets_aligned is defined.
template <class... Tensors>
std::string why_not_packets(int elements, std::int64_t columns, const Tensors&... tensors) {
  if (elements == 1) return {};
  if (columns % elements != 0) {
    return "needs N to be a multiple of " + std::to_string(elements) + " elements, and N is " + std::to_string(columns);
  }
  if (!(packets_aligned(tensors, elements) && ...)) {
    return "needs every row to start at a multiple of " + std::to_string(elements) + " elements (16 bytes at most)";
  }
  return {};
}

/// A variant's device_lacks where the blocks of a cluster share a row.
template <class Args>
std::string lacks_clusters(const Variant<Args>& variant, const DeviceInfo& device) {
  const int blocks = variant.tuning.cluster;
  if (blocks <= device.max_cluster_blocks) return {};
  return "needs clusters of " + std::to_string(blocks) + " blocks, and the device has " +
         std::to_string(device.max_cluster_blocks);
}

/// Variants without scratch memory, and those that read each input once.
template <class Args>
std::size_t no_workspace(const Variant<Args>&, const Args&, const DeviceInfo&) {
  return 0;
}
template <class Args>
std::int64_t requests_algorithmic_bytes(const Variant<Args>&, const Args& args, const DeviceInfo&) {
  return algorithmic_bytes(args);
}

inline std::string why_not_packets(int elements, const NormQuantForward& a) {
  return why_not_packets(elements, a.columns, a.x, a.residual, a.weight, a.bias, a.output, a.residual_out);
}
inline std::string why_not_packets(int elements, const NormQuantBackward& a) {
  return why_not_packets(elements, a.columns, a.dy, a.h, a.weight, a.bias, a.dresidual, a.dx, a.dx_residual,
                         a.recomputed);
}

}  // namespace normquant
