// Two outputs of one command never mix: the second that leads to the same place is refused, however the place is called.
#pragma once

#include <string>
#include <vector>

#include "output/place.hpp"

namespace normquant::output {

/// One output's right to its place. While it lives, no other output of this process gets the same file, pipe, terminal or
/// device, whether it is called /dev/stdout, /dev/fd/1, -, or by another name of the same FIFO. /dev/null takes any number.
class Claim {
 public:
  Claim() = default;
  /// Throws a Refusal (exit_usage) when another output of this process has the place.
  Claim(const std::string& path, const Place& place);
  ~Claim();
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  Claim(Claim&& other) noexcept;
  Claim& operator=(Claim&& other) noexcept;

 private:
  std::string key_;  ///< what the place is; empty: nothing is claimed
};

/// Throws a Refusal (exit_usage) when two of these paths lead to the same place; empty ones are none. For outputs that are opened one
/// after the other.
void refuse_to_mix(const std::vector<std::string>& paths);

}  // namespace normquant::output
