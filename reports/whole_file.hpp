// Reading and writing a file as a whole or not at all.
#pragma once

#include <optional>
#include <string>

namespace normquant::reports {

/// The file's content; nothing when it cannot be read.
std::optional<std::string> read_whole(const std::string& path);

/// Writes beside the target and renames, so that no half-written file is left behind. False when that fails.
bool write_whole(const std::string& path, const std::string& content);

/// Whether write_whole(path, ...) could begin; to be asked before work whose result would be lost.
bool can_write(const std::string& path);

}  // namespace normquant::reports
