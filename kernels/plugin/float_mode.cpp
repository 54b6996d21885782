#include "plugin/float_mode.hpp"

#include <fmt/format.h>

#include <cfenv>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace normquant::plugins {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t happened = 0x3F;  // MXCSR's flags
constexpr std::uint32_t flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
#elif defined(__aarch64__)
constexpr std::uint32_t happened = 0;
constexpr std::uint32_t flush_to_zero = 1U << 24, denormals_are_zero = 0;
#else
constexpr std::uint32_t flush_to_zero = 0, denormals_are_zero = 0;
#endif

}  // namespace

FloatMode float_mode() {
  FloatMode mode;
  mode.rounding = std::fegetround();
#if defined(__x86_64__)
  mode.control = _mm_getcsr() & ~happened;
  std::uint16_t word = 0;
  asm volatile("fnstcw %0" : "=m"(word));
  mode.x87 = word;
#elif defined(__aarch64__)
  std::uint64_t word = 0;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  mode.control = static_cast<std::uint32_t>(word) & ~happened;
#endif
  return mode;
}

void set_float_mode(const FloatMode& mode) {
  std::fesetround(mode.rounding);
#if defined(__x86_64__)
  _mm_setcsr(mode.control);
  const auto word = static_cast<std::uint16_t>(mode.x87);
  asm volatile("fldcw %0" : : "m"(word));
#elif defined(__aarch64__)
  const std::uint64_t word = mode.control;
  asm volatile("msr fpcr, %0" : : "r"(word));
#endif
}

std::string mode_difference(const FloatMode& before, const FloatMode& after) {
  std::vector<std::string> parts;
  if (before.rounding != after.rounding) parts.emplace_back("the rounding mode");
  const std::uint32_t changed = before.control ^ after.control;
  if ((changed & flush_to_zero) != 0) parts.emplace_back("whether denormal results are flushed to zero (FTZ)");
  if ((changed & denormals_are_zero) != 0) parts.emplace_back("whether denormal inputs are taken for zero (DAZ)");
  if (before.x87 != after.x87)
    parts.push_back(fmt::format("the x87 control word ({:#x} to {:#x})", before.x87, after.x87));
  if (parts.empty() && changed != 0) parts.emplace_back("which exceptions trap");
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace normquant::plugins
