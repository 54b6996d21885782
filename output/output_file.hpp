// The one way in which a result is written to a file that the user named.
#pragma once

#include <memory>
#include <string>

#include "output/claim.hpp"
#include "output/interrupt.hpp"
#include "output/lock.hpp"
#include "output/place.hpp"

namespace normquant::output {

/// What becomes of a result that is there already.
enum class Existing {
  refuse,  ///< it stays, and the command ends
  replace  ///< --force, or a file that the command goes on with (--resume)
};

/// A document that appears, complete, when commit() succeeds, and not at all otherwise. It is written beside its place as
/// FILE.partial and renamed. Devices, FIFOs, terminals and /dev/stdout are written to when commit() is called. A file has one
/// writer at a time (lock.hpp).
class OutputFile {
 public:
  OutputFile() = default;
  /// Makes sure that the file can be written, before the work whose result it takes. Nothing happens for an empty path. Throws
  /// a Refusal: exit_usage for a result that is there already, exit_infrastructure for a place that cannot be written.
  void open(const std::string& path, Existing existing);
  bool is_open() const { return !path_.empty(); }
  /// A file, which a newer document may replace; not a pipe or a device.
  bool replaceable() const { return is_open() && stream_ < 0; }
  /// Writes and renames; an interruption waits for it. Nothing happens where nothing is open. May be called again: the newer
  /// document takes the place of the older. Throws a Refusal (exit_infrastructure) when the disk says no.
  void commit(const std::string& text);
  /// For who writes by itself: where to, and that it is complete. A stream is written to by its own name.
  std::string place_to_write() const;
  void commit_what_is_written();
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

 private:
  void commit_file(const std::string& text);

  std::string path_;  ///< as it was named
  Place place_;
  Claim claim_;
  std::unique_ptr<Lock> lock_;
  std::unique_ptr<OnInterrupt> removal_;  ///< of the partial file
  int stream_ = -1;
};

/// Throws a Refusal (exit_usage) when the place holds a result that stays, or is where standard output goes.
void refuse_existing(const std::string& path, const Place& place, Existing existing);

/// Refuses a path that OutputFile::open would refuse, and leaves everything as it is.
void refuse_unwritable(const std::string& path, Existing existing);

/// open() and commit() in one, for results that took no time.
void write_document(const std::string& path, const std::string& text, Existing existing);

/// Appends to a file that others append to as well ($GITHUB_STEP_SUMMARY). Throws a Refusal when it cannot be written.
void append_document(const std::string& path, const std::string& text);

}  // namespace normquant::output
