// What g++ calls in code that it compiles with -fsanitize=thread: a function for every access to memory, and at the begin and
// end of every function. ThreadSanitizer's own library is not linked; these take its place.
#include <cstddef>
#include <cstdint>

#include "host/watch/watcher.hpp"

using normquant::host_exec::fiber_stack_bytes;
using normquant::host_exec::watch::Kind;
using normquant::host_exec::watch::Watcher;

namespace {

inline void access(const volatile void* address, std::size_t bytes, Kind kind, bool must_be_aligned, const void* from) {
  Watcher* const watcher = Watcher::active();
  if (watcher == nullptr) return;
  // Variables of the thread itself. Stacks begin at multiples of their size.
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if ((number ^ frame) < fiber_stack_bytes) return;
  watcher->access(number, bytes, kind, must_be_aligned, from);
}

/// Whatever has another size than a machine word, in words of up to 16 bytes as a GPU moves it.
inline void access_range(const volatile void* address, std::size_t bytes, Kind kind, const void* from) {
  const auto* next = static_cast<const volatile unsigned char*>(address);
  while (bytes > 0) {
    std::size_t word = 16;
    while (word > bytes || reinterpret_cast<std::uintptr_t>(next) % word != 0) word /= 2;
    access(next, word, kind, true, from);
    next += word;
    bytes -= word;
  }
}

}  // namespace

extern "C" {

#define NORMQUANT_HOOKS(bytes)                                                                                        \
  void __tsan_read##bytes(void* address) { access(address, bytes, Kind::read, true, __builtin_return_address(0)); }   \
  void __tsan_write##bytes(void* address) { access(address, bytes, Kind::write, true, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##bytes(void* address) {                                                                  \
    access(address, bytes, Kind::read, false, __builtin_return_address(0));                                           \
  }                                                                                                                   \
  void __tsan_unaligned_write##bytes(void* address) {                                                                 \
    access(address, bytes, Kind::write, false, __builtin_return_address(0));                                          \
  }                                                                                                                   \
  static_assert(true)
NORMQUANT_HOOKS(1);
NORMQUANT_HOOKS(2);
NORMQUANT_HOOKS(4);
NORMQUANT_HOOKS(8);
NORMQUANT_HOOKS(16);
#undef NORMQUANT_HOOKS

void __tsan_read_range(void* address, std::size_t bytes) {
  access_range(address, bytes, Kind::read, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t bytes) {
  access_range(address, bytes, Kind::write, __builtin_return_address(0));
}

void __tsan_func_entry(void* from) {
  if (Watcher* const watcher = Watcher::active(); watcher != nullptr) watcher->enter(from);
}
void __tsan_func_exit() {
  if (Watcher* const watcher = Watcher::active(); watcher != nullptr) watcher->leave();
}
void __tsan_init() {}
void __tsan_vptr_update(void** /*object*/, void* /*table*/) {}
void __tsan_vptr_read(void** /*object*/) {}

// Atomic operations of the C++ runtime in those files (guards of static variables): as the processor does them.
unsigned char __tsan_atomic8_load(const volatile unsigned char* from, int /*order*/) {
  return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_load(const volatile std::uint32_t* from, int /*order*/) {
  return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* to, std::uint32_t value, int /*order*/) {
  return __atomic_fetch_add(to, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_sub(volatile std::uint32_t* to, std::uint32_t value, int /*order*/) {
  return __atomic_fetch_sub(to, value, __ATOMIC_SEQ_CST);
}

}  // extern "C"
