// The results of a validation as JSON and as JUnit XML.
#pragma once

#include <string>
#include <vector>

#include "validate/run.hpp"

namespace normquant::validate {

std::string_view name_of(Outcome outcome);

/// What a run left undone as a whole.
struct LeftUndone {
  std::string left_out;                    ///< a sentence when `--device all` found no GPU
  std::vector<std::string> never_checked;  ///< variants that a full suite owed a check and skipped everywhere
};

/// {"schema": "normquant.validate/1", "summary": {...}, "variants": [...], "skipped": [...], "results": [...], "cases": [...]}:
/// for each device, operation and variant the counts, the worst error over its bound and the share of ambiguous codes; what
/// was skipped, by reason; every result that is not a pass in full; and for every case that was checked how many codes have
/// two admissible values and how near it came to its bounds.
std::string as_json(const std::vector<CaseResult>& results, const LeftUndone& undone = {});

/// One test case for each device, operation, variant and problem, and one for each thing left undone. Skipped ones carry
/// their reason, checked ones their share of ambiguous codes.
std::string as_junit(const std::vector<CaseResult>& results, const LeftUndone& undone = {});

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
