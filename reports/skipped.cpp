#include "reports/skipped.hpp"

#include <algorithm>

namespace normquant::reports {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The text with every run of digits replaced by one '#'.
std::string without_numbers(const std::string& text) {
  std::string general;
  for (char c : text) {
    if (!is_digit(c)) {
      general += c;
    } else if (general.empty() || general.back() != '#') {
      general += '#';
    }
  }
  return general;
}

}  // namespace

void SkippedGroups::add(const std::string& op, const std::string& variant, const std::string& reason,
                        const std::string& example) {
  const std::string general = without_numbers(reason);
  SkippedCases& group = groups_[{op, variant, general}];
  if (group.cases == 0) group = {op, variant, reason, 0, example};
  if (group.reason != reason) group.reason = general;
  ++group.cases;
}

std::vector<SkippedCases> SkippedGroups::sorted() const {
  std::vector<SkippedCases> groups;
  groups.reserve(groups_.size());
  for (const auto& [key, group] : groups_) groups.push_back(group);
  std::stable_sort(groups.begin(), groups.end(),
                   [](const SkippedCases& a, const SkippedCases& b) { return a.cases > b.cases; });
  return groups;
}

}  // namespace normquant::reports
