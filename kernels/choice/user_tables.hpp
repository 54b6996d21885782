// Tables that a user keeps: the shapes that `normquant tune --shapes` timed (docs/choice.md).
#pragma once

#include <string>
#include <vector>

namespace normquant::choice {

/// Where they lie: $NORMQUANT_TABLES, which is empty where none shall be read; where it is not set, normquant/tables under
/// $XDG_CONFIG_HOME or ~/.config. Empty: nowhere.
std::string user_tables_folder();

struct UserTable {
  std::string path, text;
};

/// The files `*.table` of a folder, by name; none when there is no such folder. A file or folder that cannot be read is said in
/// `why`, the first one only.
std::vector<UserTable> read_user_tables(const std::string& folder, std::string& why);

}  // namespace normquant::choice
