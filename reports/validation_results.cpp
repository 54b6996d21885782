#include "reports/validation_results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <nlohmann/json.hpp>

#include "reports/json_fields.hpp"

namespace normquant::reports {
namespace {

using nlohmann::json;

constexpr std::string_view schema = "normquant.validate/1";

std::int64_t count(const json& object, const char* key) {
  return static_cast<std::int64_t>(std::clamp(number(object, key).value_or(0), 0.0, 9e15));
}

ValidatedVariant variant_of(const json& entry) {
  ValidatedVariant variant;
  variant.device = text(entry, "device");
  variant.op = text(entry, "op");
  variant.variant = text(entry, "variant");
  variant.passed = count(entry, "passed");
  variant.wrong = count(entry, "failed");
  variant.skipped = count(entry, "skipped");
  variant.errors = count(entry, "errors");
  variant.worst_error_over_bound = number(entry, "worst_error_over_bound").value_or(0);
  const double codes = number(entry, "codes_checked").value_or(0);
  if (codes > 0) variant.ambiguous_share = number(entry, "codes_ambiguous").value_or(0) / codes;
  return variant;
}

FailedCase failed_of(const json& result) {
  return {text(result, "device"),  text(result, "op"),      text(result, "variant"),
          text(result, "problem"), text(result, "outcome"), text(result, "reason")};
}

/// The sections of the document; an empty list when one is missing or no list of objects.
std::vector<json> objects(const json& document, const char* key) {
  const auto found = document.find(key);
  if (found == document.end() || !found->is_array()) return {};
  std::vector<json> all;
  std::copy_if(found->begin(), found->end(), std::back_inserter(all),
               [](const json& entry) { return entry.is_object(); });
  return all;
}

void add_document(const json& document, ValidationResults& results) {
  for (const json& entry : objects(document, "variants")) results.variants.push_back(variant_of(entry));
  SkippedGroups skipped;
  for (const json& result : objects(document, "results")) {
    if (text(result, "outcome") == "skipped") {
      skipped.add(text(result, "op"), text(result, "variant"), text(result, "reason"), text(result, "problem"));
    } else {
      results.failed.push_back(failed_of(result));
    }
  }
  for (SkippedCases& group : skipped.sorted()) results.skipped.push_back(std::move(group));
}

/// Titles of the table that validate prints.
constexpr std::string_view printed_titles[] = {"device",  "operation", "variant",     "passed",   "wrong",
                                               "skipped", "errors",    "worst/bound", "ambiguous"};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool is_title_line(const std::string& line) {
  const std::vector<std::string> words = words_of(line);
  return std::equal(words.begin(), words.end(), std::begin(printed_titles), std::end(printed_titles));
}

/// The row of the printed table; nothing when the line is none.
std::optional<ValidatedVariant> printed_variant(const std::string& line) {
  const std::vector<std::string> words = words_of(line);
  if (words.size() != std::size(printed_titles)) return std::nullopt;
  ValidatedVariant variant;
  variant.device = words[0];
  variant.op = words[1];
  variant.variant = words[2];
  double ambiguous_percent = 0;
  std::istringstream numbers(fmt::format("{} {} {} {} {} {}", words[3], words[4], words[5], words[6], words[7],
                                         words[8].substr(0, words[8].find('%'))));
  numbers >> variant.passed >> variant.wrong >> variant.skipped >> variant.errors >> variant.worst_error_over_bound >>
      ambiguous_percent;
  if (!numbers) return std::nullopt;
  variant.ambiguous_share = ambiguous_percent / 100;
  return variant;
}

/// Adds the rows under the titles; false when there are none.
bool add_printed_table(std::string_view content, ValidationResults& results) {
  std::istringstream lines{std::string(content)};
  std::string line;
  while (std::getline(lines, line) && !is_title_line(line)) continue;
  std::size_t rows = 0;
  while (std::getline(lines, line)) {
    const std::optional<ValidatedVariant> variant = printed_variant(line);
    if (!variant) break;
    results.variants.push_back(*variant);
    ++rows;
  }
  results.details_known = results.details_known && rows == 0;
  return rows > 0;
}

/// Record files have a whole object in every line; the document of `--json` is spread over lines.
bool looks_like_document(std::string_view content) { return content.substr(0, content.find('\n')) == "{"; }

}  // namespace

bool looks_like_validation(std::string_view content) {
  if (looks_like_document(content)) return true;
  if (content.substr(0, content.find_first_not_of(" \t\r\n") + 1).find('{') != std::string_view::npos) return false;
  return content.find(" worst/bound ") != std::string_view::npos;
}

bool parse_validation(std::string_view content, const std::string& file, ValidationResults& results, std::string& why) {
  if (looks_like_document(content)) {
    const json document = json::parse(content, nullptr, /*allow_exceptions=*/false);
    if (!document.is_object() || text(document, "schema") != schema || objects(document, "variants").empty()) {
      why = fmt::format(
          "{} is neither a record file of `normquant bench --out` nor a result of `normquant validate --json`", file);
      return false;
    }
    add_document(document, results);
  } else if (!add_printed_table(content, results)) {
    why = fmt::format("{} holds no row of the table that `normquant validate` prints", file);
    return false;
  }
  results.files.push_back(file);
  return true;
}

}  // namespace normquant::reports
