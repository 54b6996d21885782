// Why things were skipped, for a person: by reason, the most frequent first.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace normquant::output {

class Reasons {
 public:
  /// One case that `who` (a variant) skipped. Reasons that differ in their numbers only are one.
  void add(const std::string& reason, const std::string& who);
  /// `  12 cases: N must be a multiple of 8, and is # (one_pass_e8, one_pass_e16 and 3 more)`, a line each, `most` at most and then
  /// how many there are besides; printable; empty when nothing was added.
  std::string text(std::size_t most) const;

 private:
  struct Group {
    std::string reason;  ///< with '#' for numbers once they differ
    std::int64_t cases = 0;
    std::set<std::string> who;
  };
  std::map<std::string, Group> groups_;  ///< by the reason without its numbers
};

}  // namespace normquant::output
