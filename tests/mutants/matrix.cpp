#include "tests/mutants/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace normquant::mutants {
namespace {

/// A column of the matrix: a suite on a device.
using Column = std::pair<std::string, std::string>;

class Matrix {
 public:
  explicit Matrix(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
      const Column column{finding.device, finding.suite};
      if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) columns_.push_back(column);
      found_[{finding.mutant, column}] = finding;
    }
  }

  const std::vector<Column>& columns() const { return columns_; }
  const Finding* at(const Mutant& mutant, const Column& column) const {
    const auto place = found_.find({std::string(mutant.name), column});
    return place == found_.end() ? nullptr : &place->second;
  }
  /// Whether the suite caught it, on any device.
  bool caught(const Mutant& mutant, const std::string& suite) const {
    return std::any_of(columns_.begin(), columns_.end(), [&](const Column& column) {
      const Finding* finding = at(mutant, column);
      return column.second == suite && finding != nullptr && finding->caught;
    });
  }

 private:
  std::vector<Column> columns_;
  std::map<std::pair<std::string, Column>, Finding> found_;
};

std::string header_of(const Column& column) { return fmt::format("{}, {}", column.second, column.first); }

/// `text` in a cell of a table.
std::string cell(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '|') safe += '\\';
    safe += c == '\n' ? ' ' : c;
  }
  return safe;
}
std::string code(std::string_view text) { return text.empty() ? "(nothing)" : fmt::format("`{}`", cell(text)); }

std::string cell_of(const Finding* finding) {
  if (finding == nullptr) return "";
  return finding->caught ? cell(finding->check) : "**missed**";
}

struct Share {
  int caught = 0, all = 0;
  std::string text() const { return all == 0 ? "" : fmt::format("{} of {}", caught, all); }
};

std::string table_of_classes(const Matrix& matrix, const std::vector<Mutant>& mutants) {
  std::vector<std::string> kinds;
  for (const Mutant& mutant : mutants) {
    if (std::find(kinds.begin(), kinds.end(), mutant.kind) == kinds.end()) kinds.emplace_back(mutant.kind);
  }
  std::sort(kinds.begin(), kinds.end());
  std::string text = "| class |", line = "| --- |";
  for (const Column& column : matrix.columns()) {
    text += fmt::format(" {} |", header_of(column));
    line += " ---: |";
  }
  text += "\n" + line + "\n";
  kinds.emplace_back("");  // all of them
  for (const std::string& kind : kinds) {
    text += kind.empty() ? "| **all** |" : fmt::format("| {} |", kind);
    for (const Column& column : matrix.columns()) {
      Share share;
      for (const Mutant& mutant : mutants) {
        const Finding* finding = matrix.at(mutant, column);
        if (finding == nullptr || !mutant.equivalent.empty() || (!kind.empty() && mutant.kind != kind)) continue;
        ++share.all;
        share.caught += finding->caught ? 1 : 0;
      }
      text += fmt::format(" {} |", share.text());
    }
    text += "\n";
  }
  return text;
}

std::string table_of_mutants(const Matrix& matrix, const std::vector<Mutant>& mutants) {
  std::string text = "| mutant | class | place | production | planted |", line = "| --- | --- | --- | --- | --- |";
  for (const Column& column : matrix.columns()) {
    text += fmt::format(" {} |", header_of(column));
    line += " --- |";
  }
  text += "\n" + line + "\n";
  for (const Mutant& mutant : mutants) {
    if (!mutant.equivalent.empty()) continue;
    text += fmt::format("| {} | {} | {}:{} | {} | {} |", mutant.name, cell(mutant.kind), mutant.file, mutant.line,
                        code(mutant.production), code(mutant.planted));
    for (const Column& column : matrix.columns()) text += fmt::format(" {} |", cell_of(matrix.at(mutant, column)));
    text += "\n";
  }
  return text;
}

/// What each suite catches over all devices.
std::string sentences(const Matrix& matrix, const std::vector<Mutant>& mutants) {
  std::string text;
  for (const std::string suite : {"standard", "smoke"}) {
    Share share;
    std::string missed;
    for (const Mutant& mutant : mutants) {
      const bool ran = std::any_of(matrix.columns().begin(), matrix.columns().end(), [&](const Column& column) {
        return column.second == suite && matrix.at(mutant, column) != nullptr;
      });
      if (!ran || !mutant.equivalent.empty()) continue;
      ++share.all;
      if (matrix.caught(mutant, suite)) {
        ++share.caught;
      } else {
        missed += fmt::format("{}{}", missed.empty() ? "" : ", ", mutant.name);
      }
    }
    if (share.all == 0) continue;
    text += fmt::format("- `--suite {}` catches {} mutants ({:.1f}%) on at least one device.{}\n", suite, share.text(),
                        100.0 * share.caught / share.all, missed.empty() ? "" : " It misses: " + missed + ".");
  }
  return text;
}

}  // namespace

std::string matrix(const std::vector<Finding>& findings) {
  const Matrix found(findings);
  const std::vector<Mutant>& mutants = all_mutants();
  std::string text =
      "# Mutants\n\nPlanted bugs, and the check of `normquant validate` that caught each first. Made by "
      "`normquant-mutants "
      "report` from the findings of `normquant-mutants run`; docs/mutants.md describes both.\n\n";
  text += sentences(found, mutants) + "\n## Classes\n\n" + table_of_classes(found, mutants);
  text +=
      "\n## Mutants\n\nA cell names the check: a tensor whose value was wrong, its guard bands or padding, bits that a "
      "second run did not give again, an error of the launch, a crash. Empty: not run there.\n\n" +
      table_of_mutants(found, mutants);
  text += "\n## Equivalent\n\n";
  for (const Mutant& mutant : mutants) {
    if (mutant.equivalent.empty()) continue;
    text += fmt::format("- **{}** ({}:{}): {} becomes {}. {}\n", mutant.name, mutant.file, mutant.line,
                        code(mutant.production), code(mutant.planted), mutant.equivalent);
  }
  return text;
}

}  // namespace normquant::mutants
