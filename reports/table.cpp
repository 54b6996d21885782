#include "reports/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace normquant::reports {
namespace {

/// Characters, not bytes, of UTF-8.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& cell, std::size_t to, bool right) {
  const std::string spaces(to - std::min(to, width(cell)), ' ');
  return right ? spaces + cell : cell + spaces;
}

std::string terminal_line(const Table& table, const std::vector<std::string>& cells,
                          const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    line += padded(printable(cells[i]), widths[i], table.columns[i].right);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
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

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

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

std::string to_terminal(const Table& table) {
  std::vector<std::size_t> widths;
  for (const Column& column : table.columns) widths.push_back(width(column.title));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text = terminal_line(table, titles(table), widths);
  std::vector<std::string> rule;
  rule.reserve(widths.size());
  for (std::size_t w : widths) rule.emplace_back(w, '-');
  text += terminal_line(table, rule, widths);
  for (const auto& row : table.rows) text += terminal_line(table, row, widths);
  return text;
}

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

}  // namespace normquant::reports
