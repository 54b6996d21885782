// Which mutant is active: what the planted places of the kernels' copies ask.
#pragma once

#include <cstdint>

namespace normquant::mutants {

/// Identity of the active mutant; 0: none, and every place does what the production text says. Host code reads it here.
extern std::uint32_t active_mutant;

/// Makes a mutant active, on the current GPU too where this build has kernels for one; false when CUDA refuses.
/// For one launch after the other: not while kernels run.
bool activate(std::uint32_t identity);

/// Sites are the places of mechanical mutants; each has the number of its first mutant, and the others follow. asked[site] is 1
/// when host code, or a kernel on the host device, came there since it was last set to 0.
constexpr std::uint32_t most_mechanical = 1U << 14;
extern unsigned char asked[most_mechanical];

/// Tells a translation unit's device code which mutant is active.
using Announce = bool (*)(std::uint32_t identity);
struct DeviceAnnouncement {
  explicit DeviceAnnouncement(Announce announce);
};

#if defined(__CUDACC__)
// Without separable compilation every translation unit has a copy of its own, and announces it.
namespace {
__constant__ std::uint32_t active_on_device = 0;
[[maybe_unused]] const DeviceAnnouncement device_announcement([](std::uint32_t identity) {
  return cudaMemcpyToSymbol(active_on_device, &identity, sizeof(identity)) == cudaSuccess;
});
}  // namespace
static __host__ __device__ __forceinline__ bool mutant_is(std::uint32_t identity) {
#if defined(__CUDA_ARCH__)
  return active_on_device == identity;
#else
  return active_mutant == identity;
#endif
}
static __host__ __device__ __forceinline__ bool mutated_at(std::uint32_t site, std::uint32_t mutants) {
#if defined(__CUDA_ARCH__)
  return active_on_device - site < mutants;
#else
  return active_mutant - site < mutants;
#endif
}
#else
/// Whether this mutant is active.
inline bool mutant_is(std::uint32_t identity) { return active_mutant == identity; }
/// Whether one of a site's mutants is.
inline bool mutated_at(std::uint32_t site, std::uint32_t mutants) {
  asked[site] = 1;
  return active_mutant - site < mutants;
}
#endif

}  // namespace normquant::mutants
