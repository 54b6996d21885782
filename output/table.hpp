// A table of texts, laid out for a terminal, for markdown or as CSV.
#pragma once

#include <string>
#include <vector>

namespace normquant::output {

struct Column {
  std::string title;
  bool right = false;  ///< numbers
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< as many cells as columns
};

/// Printable (escape.hpp), and what markdown or HTML would read as markup is escaped.
std::string escaped_for_markdown(const std::string& text);

/// Aligned columns, a rule under the titles; cells are made printable. Texts are wrapped so that the table takes no more than
/// `columns` where its numbers leave room.
std::string to_terminal(const Table& table, int columns);

/// In the columns of this terminal (standard_streams.hpp).
std::string to_terminal(const Table& table);

/// A markdown table; cells are escaped.
std::string to_markdown(const Table& table);

/// RFC 4180, titles first.
std::string to_csv(const Table& table);

}  // namespace normquant::output
