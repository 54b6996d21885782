// The file of `normquant tune --shapes`: a user's own shapes, one a line.
//
//   # batches of our server
//   16x4096
//   300x4096 forward
//   2048x11008 backward rms+dresidual layer
//
// A line is MxN; then, where not all of it is meant, an operation; then forms of it. Without an operation: forward and backward.
// Without forms: all but rms+unaligned.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bench/sweeps.hpp"

namespace normquant::tune {

/// The cases of that text, in bfloat16; nothing, and a sentence that names the line in `why`, when it is malformed or empty.
std::optional<bench::Sweep> parse_shapes(std::string_view text, std::string& why);

/// The same of a file. A sweep file (docs/records.md), which begins with {, is taken too.
std::optional<bench::Sweep> read_shapes(const std::string& path, std::string& why);

}  // namespace normquant::tune
