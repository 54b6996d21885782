#include "app/options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <CLI/CLI.hpp>

#include "output/did_you_mean.hpp"
#include "output/escape.hpp"

namespace normquant::app {
namespace {

constexpr const char* empty_value = "the value is empty";  ///< a script's unset variable, not a wish

/// What is wrong with a number; empty when nothing is.
std::string why_no_number(const std::string& text, double least, double most, bool whole) {
  if (text.empty()) return empty_value;
  const char* const end = text.data() + text.size();
  double value = 0;
  std::int64_t count = 0;
  std::from_chars_result read = std::from_chars(text.data(), end, value);
  if (whole) {
    read = std::from_chars(text.data(), end, count);
    value = static_cast<double>(count);
  }
  const char* kind = whole ? "whole number" : "number";
  if (read.ec == std::errc::result_out_of_range) return fmt::format("{} is too large or too small for a number", text);
  if (read.ec == std::errc() && read.ptr == end && !std::isfinite(value)) {
    return fmt::format("'{}' is not finite", text);
  }
  if (read.ec != std::errc() || read.ptr != end) {
    return fmt::format("'{}' is not a {}", output::printable(text), kind);
  }
  if (value >= least && value <= most) return {};
  return fmt::format("{} is not a {} from {} to {}", text, kind, least, most);
}

/// Seeds are the one kind of number that is never negative and may have 64 bits.
std::string why_no_seed(const std::string& text) {
  if (text.empty()) return empty_value;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec == std::errc() && read.ptr == end) return {};
  return fmt::format("'{}' is not a whole number from 0 to 18446744073709551615", output::printable(text));
}

std::string why_no_text(const std::string& text) {
  if (text.empty()) return empty_value;
  return output::printable(text) == text ? "" : fmt::format("'{}' has control characters", output::printable(text));
}

void check_values(CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return;  // a flag
  const std::string type = option.get_type_name();
  option.check(CLI::Validator(why_no_text, "", "text"));
  if (type.starts_with("UINT")) option.check(CLI::Validator(why_no_seed, "", "seed"));
  constexpr double any = std::numeric_limits<double>::max(), any_count = 9.2e18;
  if (type.starts_with("INT")) {
    option.check(
        CLI::Validator([](std::string& text) { return why_no_number(text, -any_count, any_count, true); }, ""));
  }
  if (type.starts_with("FLOAT")) {
    option.check(CLI::Validator([](std::string& text) { return why_no_number(text, -any, any, false); }, ""));
  }
}

CLI::Validator between(double least, double most, bool whole) {
  return {[least, most, whole](std::string& text) { return why_no_number(text, least, most, whole); },
          fmt::format("{} to {}", least, most)};
}

}  // namespace

void refuse_meaningless_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) check_values(*option);
  for (CLI::App* command : app.get_subcommands({})) refuse_meaningless_values(*command);
}

CLI::Validator number_between(double least, double most) { return between(least, most, false); }

CLI::Validator count_between(std::int64_t least, std::int64_t most) {
  return between(static_cast<double>(least), static_cast<double>(most), true);
}

CLI::Validator jobs_range() { return count_between(1, 1024); }
CLI::Validator seconds_range() { return number_between(0, 1e7); }

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string unexpected(const std::vector<std::string>& words, const std::vector<std::string>& options) {
  for (const std::string& word : words) {
    if (!word.starts_with("-")) continue;
    const std::string name = word.substr(0, word.find('='));
    return fmt::format("there is no option {}{}", output::printable(name), output::did_you_mean(name, options));
  }
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "'" : ", '") + output::printable(word) + "'";
  return list + (words.size() == 1 ? " is not expected" : " are not expected");
}

void add_force(CLI::App& command, output::Existing& existing) {
  command.add_flag_callback(
      "--force", [&existing] { existing = output::Existing::replace; }, "overwrite results that are there already");
}

}  // namespace normquant::app
