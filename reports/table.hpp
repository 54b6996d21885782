// A table of texts, laid out for a terminal, for markdown or as CSV.
#pragma once

#include <string>
#include <vector>

namespace normquant::reports {

struct Column {
  std::string title;
  bool right = false;  ///< numbers
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< as many cells as columns
};

/// The text with control characters replaced by '?': records may hold anything, and terminals obey them.
std::string printable(std::string text);

/// The same, and what markdown or HTML would read as markup is escaped.
std::string escaped_for_markdown(const std::string& text);

/// Aligned columns, a rule under the titles; cells are made printable.
std::string to_terminal(const Table& table);

/// A markdown table; cells are escaped.
std::string to_markdown(const Table& table);

/// RFC 4180, titles first.
std::string to_csv(const Table& table);

}  // namespace normquant::reports
