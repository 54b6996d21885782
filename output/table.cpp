#include "output/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "output/escape.hpp"
#include "output/standard_streams.hpp"

namespace normquant::output {
namespace {

/// Characters, not bytes, of UTF-8.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& cell, std::size_t to, bool right) {
  const std::string spaces(to - std::min(to, width(cell)), ' ');
  return right ? spaces + cell : cell + spaces;
}

std::size_t columns_taken(const std::vector<std::size_t>& widths) {
  std::size_t sum = 2 * (widths.size() - 1);
  for (const std::size_t w : widths) sum += w;
  return sum;
}

/// Takes columns of texts together, the widest first, until the table fits; numbers keep theirs.
void fit(const Table& table, std::size_t columns, std::vector<std::size_t>& widths) {
  constexpr std::size_t least = 8;
  while (columns_taken(widths) > columns) {
    std::size_t widest = widths.size();
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (table.columns[i].right || widths[i] <= least) continue;
      if (widest == widths.size() || widths[i] > widths[widest]) widest = i;
    }
    if (widest == widths.size()) return;
    --widths[widest];
  }
}

/// Bytes of the first `characters` characters.
std::size_t bytes_of(std::string_view text, std::size_t characters) {
  std::size_t at = 0;
  for (; at < text.size() && characters > 0; --characters) {
    do ++at;
    while (at < text.size() && (text[at] & 0xc0) == 0x80);
  }
  return at;
}

/// The text in lines of that width, cut behind a blank or a mark within a word where there is one.
std::vector<std::string> wrapped(std::string_view text, std::size_t to) {
  std::vector<std::string> lines;
  while (width(text) > to) {
    const std::size_t most = bytes_of(text, to);
    std::size_t cut = text.substr(0, most + 1).rfind(' ');
    if (cut == std::string_view::npos || cut == 0) {
      const std::size_t mark = text.substr(0, most).find_last_of("_+/,;:-=");
      cut = mark == std::string_view::npos || mark < most / 3 ? most : mark + 1;
    }
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  lines.emplace_back(text);
  return lines;
}

std::string terminal_row(const Table& table, const std::vector<std::string>& cells,
                         const std::vector<std::size_t>& widths) {
  std::vector<std::vector<std::string>> lines_of;
  std::size_t height = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    lines_of.push_back(wrapped(printable(cells[i]), widths[i]));
    height = std::max(height, lines_of.back().size());
  }
  std::string text;
  for (std::size_t row = 0; row < height; ++row) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) line += "  ";
      line += padded(row < lines_of[i].size() ? lines_of[i][row] : "", widths[i], table.columns[i].right);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string quoted_for_csv(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (char c : cell) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::vector<std::string> titles(const Table& table) {
  std::vector<std::string> names;
  for (const Column& column : table.columns) names.push_back(column.title);
  return names;
}

}  // namespace

std::string escaped_for_markdown(const std::string& text) {
  std::string escaped;
  for (char c : printable(text)) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      if (std::string_view("|\\`*[]").find(c) != std::string_view::npos) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

std::string to_terminal(const Table& table, int columns) {
  std::vector<std::size_t> widths;
  for (const Column& column : table.columns) widths.push_back(width(column.title));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  fit(table, static_cast<std::size_t>(columns), widths);
  std::string text = terminal_row(table, titles(table), widths);
  std::vector<std::string> rule;
  rule.reserve(widths.size());
  for (std::size_t w : widths) rule.emplace_back(w, '-');
  text += terminal_row(table, rule, widths);
  for (const auto& row : table.rows) text += terminal_row(table, row, widths);
  return text;
}

std::string to_terminal(const Table& table) { return to_terminal(table, terminal_columns()); }

std::string to_markdown(const Table& table) {
  std::string text = "|", rule = "|";
  for (const Column& column : table.columns) {
    text += fmt::format(" {} |", escaped_for_markdown(column.title));
    rule += column.right ? " ---: |" : " --- |";
  }
  text += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    text += "|";
    for (const std::string& cell : row) text += fmt::format(" {} |", escaped_for_markdown(cell));
    text += "\n";
  }
  return text;
}

std::string to_csv(const Table& table) {
  std::string text;
  const auto add = [&text](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text += ",";
      text += quoted_for_csv(cells[i]);
    }
    text += "\r\n";
  };
  add(titles(table));
  for (const auto& row : table.rows) add(row);
  return text;
}

}  // namespace normquant::output
