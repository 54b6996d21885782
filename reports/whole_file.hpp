// Reading a file as a whole.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace normquant::reports {

/// The file's content; nothing when it cannot be read.
std::optional<std::string> read_whole(const std::string& path);

/// Contents that count once: a file that is given twice, or a copy of it, would make its samples look like twice as many.
class ReadOnce {
 public:
  /// False, with a sentence, when another file held the same.
  bool add(const std::string& file, const std::string& content, std::string& why);

 private:
  std::map<std::pair<std::size_t, std::size_t>, std::string> file_by_content_;  ///< by length and hash
};

}  // namespace normquant::reports
