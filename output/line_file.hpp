// A file of lines, each of which is there, whole, before the work on the next begins: a kill loses one at most.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "output/claim.hpp"
#include "output/lock.hpp"
#include "output/output_file.hpp"

namespace normquant::output {

class LineFile {
 public:
  LineFile() = default;
  /// Creates the file, or empties the one that may be replaced; streams (place.hpp) are written to. Throws a Refusal as
  /// OutputFile::open does.
  void open(const std::string& path, Existing existing);
  /// Keeps the first `bytes` of the file and appends to them. Throws a Refusal, also for a stream.
  void open_behind(const std::string& path, std::size_t bytes);
  bool is_open() const { return descriptor_ >= 0; }
  /// Writes `line` and the end of the line. False when it could not be written (a full disk), now and from then on; the file
  /// then ends with its last whole line. Nothing open: true.
  bool write(const std::string& line);
  /// Why write() failed.
  const std::string& failure() const { return failure_; }
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

 private:
  void open_file(const std::string& path, const Place& place, int flags);

  std::string path_, failure_;
  Claim claim_;
  std::unique_ptr<Lock> lock_;
  int descriptor_ = -1;
  bool regular_ = false;
};

/// Bytes of the file up to the end of its last whole line; 0 when it cannot be read.
std::size_t whole_lines(const std::string& path);

}  // namespace normquant::output
