// Places in a block's shared memory.
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// A place in the block's shared memory, in bytes. On the GPU it is its number there, and the compiler keeps it in a register: of a
/// pointer it works the number out anew at every access, from a special register that takes long to read.
#if defined(__CUDA_ARCH__)
using SharedPlace = unsigned;
#else
using SharedPlace = unsigned char*;
#endif
__device__ __forceinline__ SharedPlace shared_place(void* pointer) {
#if defined(__CUDA_ARCH__)
  auto place = static_cast<SharedPlace>(__cvta_generic_to_shared(pointer));
  asm volatile("" : "+r"(place));
  return place;
#else
  return static_cast<unsigned char*>(pointer);
#endif
}

/// The place so many bytes behind another.
__device__ __forceinline__ SharedPlace behind(SharedPlace place, unsigned bytes) { return place + bytes; }

/// 16 bytes from and to a place that is a multiple of 16.
__device__ __forceinline__ uint4 load_shared(SharedPlace place) {
  uint4 words = {};
#if defined(__CUDA_ARCH__)
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(place)
               : "memory");
#else
  words = *words_at<uint4>(place);
#endif
  return words;
}
__device__ __forceinline__ void store_shared(SharedPlace place, uint4 words) {
#if defined(__CUDA_ARCH__)
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(words.x), "r"(words.y), "r"(words.z),
               "r"(words.w)
               : "memory");
#else
  *words_at<uint4>(place) = words;
#endif
}

/// A float32 from and to a place that is a multiple of 4.
__device__ __forceinline__ float load_shared_float(SharedPlace place) {
  float value = 0.0F;
#if defined(__CUDA_ARCH__)
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(place) : "memory");
#else
  value = *words_at<float>(place);
#endif
  return value;
}
__device__ __forceinline__ void store_shared_float(SharedPlace place, float value) {
#if defined(__CUDA_ARCH__)
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(place), "f"(value) : "memory");
#else
  *words_at<float>(place) = value;
#endif
}

}  // namespace normquant::NORMQUANT_BACKEND
