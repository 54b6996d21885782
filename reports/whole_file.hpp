// Reading a file as a whole.
#pragma once

#include <optional>
#include <string>

namespace normquant::reports {

/// The file's content; nothing when it cannot be read.
std::optional<std::string> read_whole(const std::string& path);

}  // namespace normquant::reports
