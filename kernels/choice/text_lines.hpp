// What the readers of tables and models share: words of a line, and lines that throw a sentence when they are malformed.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace normquant::choice {

/// What is wrong with a line, a clause without its number.
struct Malformed {
  std::string sentence;
};
[[noreturn]] inline void fail(std::string sentence) { throw Malformed{std::move(sentence)}; }

inline constexpr std::string_view blanks = " \t\r";

inline std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// Cuts the first word off the line; empty at its end.
inline std::string_view take_word(std::string_view& line) {
  const std::size_t start = std::min(line.find_first_not_of(blanks), line.size());
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

/// Calls parse_line for every line. False, with "line N: sentence" in `why`, at the first that throws a Malformed.
template <typename ParseLine>
bool for_each_line(std::string_view text, std::string& why, ParseLine parse_line) {
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    try {
      parse_line(text.substr(0, end));
    } catch (const Malformed& malformed) {
      why = "line " + std::to_string(number) + ": " + malformed.sentence;
      return false;
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return true;
}

}  // namespace normquant::choice
