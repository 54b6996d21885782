// Files of findings: a JSON record a line, written as they are found.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "tests/mutants/finding.hpp"

namespace normquant::mutants {

/// A wish that cannot be met: the exit status and the sentence.
struct Refusal {
  int status;
  std::string sentence;
};

/// A file to which findings go, line by line; no path: nothing is written. Throws Refusal where it cannot be written.
class FindingFile {
 public:
  /// `append`: what the file has stays.
  FindingFile(const std::string& path, bool append);
  void add(const Finding& finding);

 private:
  void check() const;
  std::string path_;
  std::ofstream file_;
};

/// What an interrupted run found. A last line that is no whole record is taken off the file. No file: nothing was found.
std::vector<Finding> found_before(const std::string& path);

}  // namespace normquant::mutants
