#include "reports/validation_results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
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
  const auto worst = entry.find("worst_error_over_bound");  // null stands for what JSON has no number for
  variant.worst_error_over_bound = worst != entry.end() && worst->is_null()
                                       ? std::numeric_limits<double>::infinity()
                                       : number(entry, "worst_error_over_bound").value_or(0);
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
  if (const auto summary = document.find("summary"); summary != document.end() && summary->is_object()) {
    results.not_run += count(*summary, "not_run");
  }
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

/// Titles of the tables that validate prints: one for each device and operation, which stand in the line before.
constexpr std::string_view printed_titles[] = {"variant", "passed",      "wrong",    "skipped",
                                               "errors",  "worst/bound", "ambiguous"};
/// Those that earlier versions printed: one table, device and operation in every row.
constexpr std::string_view earlier_titles[] = {"device",  "operation", "variant",     "passed",   "wrong",
                                               "skipped", "errors",    "worst/bound", "ambiguous"};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// What the six words of numbers say.
bool read_numbers(const std::vector<std::string>& words, std::size_t first, ValidatedVariant& variant) {
  if (words.size() != first + 6) return false;
  double ambiguous_percent = 0;
  std::istringstream counts(fmt::format("{} {} {} {} {}", words[first], words[first + 1], words[first + 2],
                                        words[first + 3], words[first + 5].substr(0, words[first + 5].find('%'))));
  counts >> variant.passed >> variant.wrong >> variant.skipped >> variant.errors >> ambiguous_percent;
  variant.ambiguous_share = ambiguous_percent / 100;
  const std::string& worst = words[first + 4];
  const auto [end, error] =  // also inf and nan, which streams do not read
      std::from_chars(worst.data(), worst.data() + worst.size(), variant.worst_error_over_bound);
  return !counts.fail() && error == std::errc() && end == worst.data() + worst.size();
}

/// Reads what validate printed, line by line.
class PrintedTables {
 public:
  std::vector<ValidatedVariant> take(std::string_view content) {
    std::istringstream lines{std::string(content)};
    for (std::string line; std::getline(lines, line);) take(words_of(line));
    return std::move(variants_);
  }

 private:
  void take(const std::vector<std::string>& words) {
    const bool title = std::equal(words.begin(), words.end(), std::begin(printed_titles), std::end(printed_titles));
    const bool earlier = std::equal(words.begin(), words.end(), std::begin(earlier_titles), std::end(earlier_titles));
    if (title || earlier) {
      open_ = earlier || before_.size() == 2;
      if (title && open_) device_ = before_[0], op_ = before_[1];
      if (earlier) device_.clear();
    } else if (open_) {
      open_ = take_row(words);
    }
    before_ = words;
  }

  /// False behind the last row.
  bool take_row(const std::vector<std::string>& words) {
    ValidatedVariant variant;
    if (device_.empty()) {
      if (!read_numbers(words, 3, variant)) return false;
      variant.device = words[0], variant.op = words[1], variant.variant = words[2];
    } else {
      if (words.size() == 1) return true;  // a long name; its numbers are in the next line
      const bool named_before = words.size() == 6 && before_.size() == 1;
      if (!read_numbers(words, named_before ? 0 : 1, variant)) return false;
      variant.device = device_, variant.op = op_, variant.variant = named_before ? before_[0] : words[0];
    }
    variants_.push_back(variant);
    return true;
  }

  std::vector<ValidatedVariant> variants_;
  std::vector<std::string> before_;  ///< words of the line before
  std::string device_, op_;          ///< of the table; empty where its rows say them
  bool open_ = false;
};

/// Adds the rows under the titles; false when there are none.
bool add_printed_table(std::string_view content, ValidationResults& results) {
  const std::vector<ValidatedVariant> variants = PrintedTables().take(content);
  results.variants.insert(results.variants.end(), variants.begin(), variants.end());
  results.details_known = results.details_known && variants.empty();
  return !variants.empty();
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
