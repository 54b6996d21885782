// The results of a validation as JSON and as JUnit XML.
#pragma once

#include <string>
#include <vector>

#include "validate/run.hpp"

namespace normquant::validate {

std::string_view name_of(Outcome outcome);

/// {"schema": "normquant.validate/1", "summary": {...}, "results": [...]}: every result that is not a pass in full, and
/// for each device, operation and variant the counts, the worst error over its bound and the share of ambiguous codes.
std::string as_json(const std::vector<CaseResult>& results);

/// One test case for each device, operation, variant and problem; skipped ones carry their reason.
std::string as_junit(const std::vector<CaseResult>& results);

/// A file that appears, complete, when commit() succeeds, and not at all otherwise.
class ResultFile {
 public:
  /// Creates the temporary file beside `path`; false (and a sentence in `why`) when that is not possible.
  bool open(const std::string& path, std::string& why);
  /// Writes `text` and renames; false (and a sentence in `why`) when the disk says no.
  bool commit(const std::string& text, std::string& why);
  ~ResultFile();

 private:
  std::string path_, temporary_;
};

}  // namespace normquant::validate
