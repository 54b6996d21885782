#include "reports/results.hpp"

#include <fmt/format.h>

#include "reports/whole_file.hpp"

namespace normquant::reports {

std::optional<Results> read_results(const std::vector<std::string>& files, Repeated repeated, std::string& why) {
  Results results;
  ReadOnce once;
  for (const std::string& file : files) {
    const std::optional<std::string> content = read_whole(file);
    if (!content) {
      why = fmt::format("cannot read {}", file);
      return std::nullopt;
    }
    if (!once.add(file, *content, why)) return std::nullopt;
    if (looks_like_validation(*content)) {
      if (!parse_validation(*content, file, results.validation, why)) return std::nullopt;
      continue;
    }
    const std::size_t before = results.records.timings.size();
    if (!parse_records(*content, file, results.records, why)) return std::nullopt;
    if (repeated == Repeated::first) keep_first(results.records, before);
  }
  tell_apart(results.records);
  pool(results.records);
  return results;
}

}  // namespace normquant::reports
