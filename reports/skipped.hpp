// What was skipped and why, in groups: a sweep skips thousands of cases for a handful of reasons.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace normquant::reports {

/// Cases that one variant skipped for one reason.
struct SkippedCases {
  std::string op, variant, reason;
  std::int64_t cases = 0;
  std::string example;  ///< the first of them
};

class SkippedGroups {
 public:
  /// Reasons that differ in numbers only are one; it then has '#' in their place.
  void add(const std::string& op, const std::string& variant, const std::string& reason, const std::string& example);
  /// Most cases first; equally many by operation, variant and reason.
  std::vector<SkippedCases> sorted() const;

 private:
  std::map<std::tuple<std::string, std::string, std::string>, SkippedCases> groups_;
};

}  // namespace normquant::reports
