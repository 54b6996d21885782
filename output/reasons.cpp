#include "output/reasons.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "output/escape.hpp"
#include "output/words.hpp"

namespace normquant::output {
namespace {

std::string without_numbers(const std::string& text) {
  std::string general;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      general += c;
    } else if (general.empty() || general.back() != '#') {
      general += '#';
    }
  }
  return general;
}

/// The first few, and how many there are besides.
std::string listed(const std::set<std::string>& names) {
  constexpr std::size_t most = 3;
  std::string list;
  std::size_t shown = 0;
  for (const std::string& name : names) {
    if (shown == most) break;
    list += (shown++ == 0 ? "" : ", ") + name;
  }
  return names.size() > most ? list + fmt::format(" and {} more", names.size() - most) : list;
}

}  // namespace

void Reasons::add(const std::string& reason, const std::string& who) {
  const std::string general = without_numbers(reason);
  Group& group = groups_[general];
  if (group.cases++ == 0) group.reason = reason;
  if (group.reason != reason) group.reason = general;
  group.who.insert(who);
}

std::string Reasons::text(std::size_t most) const {
  std::vector<const Group*> sorted;
  for (const auto& [general, group] : groups_) sorted.push_back(&group);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Group* a, const Group* b) { return a->cases > b->cases; });
  std::string text;
  for (std::size_t i = 0; i < std::min(most, sorted.size()); ++i) {
    const Group& group = *sorted[i];
    text += fmt::format("  {}: {} ({})\n", counted(group.cases, "case", "cases"), printable(group.reason),
                        printable(listed(group.who)));
  }
  if (sorted.size() > most) {
    const auto rest = static_cast<std::int64_t>(sorted.size() - most);
    text += fmt::format("  and for {}\n", counted(rest, "other reason", "other reasons"));
  }
  return text;
}

}  // namespace normquant::output
