// Programmatic dependent launch: a kernel's blocks may start while the launch before it in the stream still runs.
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// First statement of every kernel that is launched with LaunchShape::overlap: lets the next launch start its blocks
/// early too, then waits until everything that earlier launches wrote can be read. Before it a kernel touches no global
/// memory. Below compute capability 9.0 launches do not overlap and it does nothing.
__device__ __forceinline__ void overlap_launches() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace normquant::NORMQUANT_BACKEND
