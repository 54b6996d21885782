// How the floating-point unit of the calling thread is set: what a plugin's function must leave as it found it.
#pragma once

#include <cstdint>
#include <string>

namespace normquant::plugins {

/// Settings, not the flags that say what happened.
struct FloatMode {
  int rounding = 0;           ///< as fegetround() says
  std::uint32_t control = 0;  ///< x86: MXCSR without its flags; ARM: FPCR; elsewhere 0
  std::uint32_t x87 = 0;      ///< x86: the x87 control word; elsewhere 0
  bool operator==(const FloatMode&) const = default;
};

FloatMode float_mode();
void set_float_mode(const FloatMode& mode);

/// What differs, in words: "the rounding mode, denormals are flushed to zero". Empty when nothing does.
std::string mode_difference(const FloatMode& before, const FloatMode& after);

}  // namespace normquant::plugins
