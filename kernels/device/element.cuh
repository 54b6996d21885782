// Storage types, and moving V neighbouring elements at a time between memory and float32.
#pragma once

#include <cstring>
#include <type_traits>

#include <normquant/types.hpp>

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

__device__ __forceinline__ float to_float(float value) { return value; }
#if defined(__CUDACC__)
__device__ __forceinline__ float to_float(half_t value) { return __half2float(value); }
__device__ __forceinline__ float to_float(bfloat16_t value) { return __bfloat162float(value); }
#else
inline float to_float(half_t value) { return static_cast<float>(value); }
inline float to_float(bfloat16_t value) { return static_cast<float>(value); }
#endif

/// Rounds to nearest even in the storage type.
template <class T>
__device__ __forceinline__ T from_float(float value) {
  return static_cast<T>(value);
}

/// Memory words of one access: the widest that V elements of `Bytes` fill, 16 bytes at most.
template <int Bytes>
struct Word;
template <>
struct Word<1> {
  using type = std::uint8_t;
};
template <>
struct Word<2> {
  using type = std::uint16_t;
};
template <>
struct Word<4> {
  using type = std::uint32_t;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

/// V neighbouring elements as they lie in memory, loaded and stored in accesses of up to 16 bytes.
template <class T, int V>
struct Packet {
  static constexpr int word_bytes = V * sizeof(T) < 16 ? V * sizeof(T) : 16;
  static constexpr int words = V * static_cast<int>(sizeof(T)) / word_bytes;
  using word = typename Word<word_bytes>::type;
  word data[words] = {};

  __device__ __forceinline__ void load(const T* from) {
    const word* const in_memory = words_at<word>(from);
#pragma unroll
    for (int i = 0; i < words; ++i) data[i] = in_memory[i];
  }
  /// For what is read once: leaves the L1 to what is read again (the weight).
  __device__ __forceinline__ void load_once(const T* from) {
#if defined(__CUDA_ARCH__)
    if constexpr (word_bytes == 16) {
#pragma unroll
      for (int i = 0; i < words; ++i) {
        asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(data[i].x), "=r"(data[i].y), "=r"(data[i].z), "=r"(data[i].w)
                     : "l"(reinterpret_cast<const word*>(from) + i));
      }
      return;
    }
#endif
    load(from);
  }
  /// From an address that is aligned to the element only: the two aligned words that hold the packet, shifted. Both must lie
  /// where reading is allowed. 16-byte packets of what is not written during the launch.
  __device__ __forceinline__ void load_shifted(const T* from) {
    static_assert(words == 1 && word_bytes == 16);
    const auto address = reinterpret_cast<std::uintptr_t>(from);
    const uint4* aligned = reinterpret_cast<const uint4*>(address / 16 * 16);
    const auto shift = static_cast<unsigned>(address % 16);
    const uint4 low = aligned[0], high = shift == 0 ? low : aligned[1];
    std::uint32_t bits[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 6; ++i) bits[i] = (shift & 8U) != 0 ? bits[i + 2] : bits[i];
#pragma unroll
    for (int i = 0; i < 5; ++i) bits[i] = (shift & 4U) != 0 ? bits[i + 1] : bits[i];
    if constexpr (sizeof(T) == 2) {
      const unsigned half = shift % 4 * 8;  // 0 or 16 bits
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        bits[i] = static_cast<std::uint32_t>((std::uint64_t{bits[i + 1]} << 32 | bits[i]) >> half);
      }
    }
    data[0] = {bits[0], bits[1], bits[2], bits[3]};
  }
  /// Keeps the packet packed: the compiler may not unpack it ahead, out of a loop, into more registers than there are.
  __device__ __forceinline__ void stay_packed() {
#if defined(__CUDA_ARCH__)
    if constexpr (word_bytes == 16) {
#pragma unroll
      for (int i = 0; i < words; ++i) {
        asm volatile("" : "+r"(data[i].x), "+r"(data[i].y), "+r"(data[i].z), "+r"(data[i].w));
      }
    }
#endif
  }
  __device__ __forceinline__ void store(T* to) const {
    word* const in_memory = words_at<word>(to);
#pragma unroll
    for (int i = 0; i < words; ++i) in_memory[i] = data[i];
  }
  /// For what nobody reads again soon: the L2 may drop it first.
  __device__ __forceinline__ void store_once(T* to) const {
#if defined(__CUDA_ARCH__)
#pragma unroll
    for (int i = 0; i < words; ++i) __stcs(reinterpret_cast<word*>(to) + i, data[i]);
#else
    store(to);
#endif
  }
  __device__ __forceinline__ void unpack(float (&values)[V]) const {
    if constexpr (std::is_same_v<T, bfloat16_t> && sizeof(word) >= 4) {
      // A bfloat16 is the upper half of a float32: one instruction an element, where element-wise extraction takes two.
      std::uint32_t pairs[V / 2];
      memcpy(pairs, data, sizeof(pairs));
#pragma unroll
      for (int i = 0; i < V / 2; ++i) {
        values[2 * i] = __uint_as_float(pairs[i] << 16);
        values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000U);
      }
      return;
    }
    T elements[V];
    memcpy(elements, data, sizeof(elements));
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = to_float(elements[i]);
  }
  __device__ __forceinline__ void pack(const float (&values)[V]) {
    T elements[V];
#pragma unroll
    for (int i = 0; i < V; ++i) elements[i] = from_float<T>(values[i]);
    memcpy(data, elements, sizeof(elements));
  }
};

template <class T, int V>
__device__ __forceinline__ void load_elements(const void* data, std::int64_t index, float (&values)[V]) {
  Packet<T, V> packet;
  packet.load(static_cast<const T*>(data) + index);
  packet.unpack(values);
}

template <class T, int V>
__device__ __forceinline__ void store_elements(void* data, std::int64_t index, const float (&values)[V]) {
  Packet<T, V> packet;
  packet.pack(values);
  packet.store(static_cast<T*>(data) + index);
}

/// V elements from `index` on, of a type known at run time (the branch is the same for the whole grid).
template <int V>
__device__ __forceinline__ void load_typed(const void* data, DType type, std::int64_t index, float (&values)[V]) {
  if (type == DType::float32) return load_elements<float>(data, index, values);
  if (type == DType::float16) return load_elements<half_t>(data, index, values);
  load_elements<bfloat16_t>(data, index, values);
}

template <int V>
__device__ __forceinline__ void store_typed(void* data, DType type, std::int64_t index, const float (&values)[V]) {
  if (type == DType::float32) return store_elements<float>(data, index, values);
  if (type == DType::float16) return store_elements<half_t>(data, index, values);
  store_elements<bfloat16_t>(data, index, values);
}

/// A type as a value that a lambda can take.
template <class T>
struct ElementType {
  using type = T;
};
/// f(ElementType) for elements of `type`.
template <class F>
__device__ __forceinline__ void with_element_type(DType type, F&& f) {
  if (type == DType::float32) return f(ElementType<float>{});
  if (type == DType::float16) return f(ElementType<half_t>{});
  f(ElementType<bfloat16_t>{});
}

/// The same for launches: f(ElementType), and what it answers.
template <class F>
Status launch_for_type(DType type, F&& f) {
  if (type == DType::float32) return f(ElementType<float>{});
  if (type == DType::float16) return f(ElementType<half_t>{});
  return f(ElementType<bfloat16_t>{});
}

/// K packets of V elements of a type known at run time; packet k starts at index_of(k) and is left alone unless
/// inside(k). The loads of all packets are issued before the first is waited for.
template <class T, int K, int V, class IndexOf, class Inside>
__device__ __forceinline__ void load_packets(const void* data, IndexOf index_of, Inside inside, float (&values)[K][V]) {
  Packet<T, V> packets[K];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (inside(k)) packets[k].load(static_cast<const T*>(data) + index_of(k));
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (inside(k)) packets[k].unpack(values[k]);
  }
}
template <int K, int V, class IndexOf, class Inside>
__device__ __forceinline__ void load_packets_typed(const void* data, DType type, IndexOf index_of, Inside inside,
                                                   float (&values)[K][V]) {
  if (type == DType::float32) return load_packets<float>(data, index_of, inside, values);
  if (type == DType::float16) return load_packets<half_t>(data, index_of, inside, values);
  load_packets<bfloat16_t>(data, index_of, inside, values);
}

/// `value` as it comes back from storage of that type.
__device__ __forceinline__ float rounded_to(DType type, float value) {
  if (type == DType::float32) return value;
  if (type == DType::float16) return to_float(from_float<half_t>(value));
  return to_float(from_float<bfloat16_t>(value));
}

/// A packet's element type and element count, as a value that a lambda can take.
template <class T, int V>
struct PacketType {
  using element = T;
  static constexpr int count = V;
};

/// Calls `f` with the PacketType for elements of `type` in packets of `count` elements: as many as fill 16 bytes, or 1.
template <class F>
auto with_packet_type(DType type, int count, F&& f) {
  if (type == DType::float32) return count == 1 ? f(PacketType<float, 1>{}) : f(PacketType<float, 4>{});
  if (type == DType::float16) return count == 1 ? f(PacketType<half_t, 1>{}) : f(PacketType<half_t, 8>{});
  return count == 1 ? f(PacketType<bfloat16_t, 1>{}) : f(PacketType<bfloat16_t, 8>{});
}

}  // namespace normquant::NORMQUANT_BACKEND
