// Where a path of an output leads: to a file, or to something that is written to and never replaced by a file.
#pragma once

#include <sys/stat.h>

#include <string>

#include "refusal.hpp"

namespace normquant::output {

struct Place {
  enum class Kind {
    absent,     ///< nothing there yet
    file,       ///< a regular file
    stream,     ///< a device, a FIFO, a terminal
    descriptor  ///< one that this process has open: /dev/stdout, /dev/fd/N, a process substitution
  };
  Kind kind = Kind::absent;
  std::string path;     ///< without symbolic links at its end
  int descriptor = -1;  ///< of Kind::descriptor
  bool empty = true;    ///< of Kind::file

  bool replaceable() const { return kind == Kind::absent || kind == Kind::file; }
};

/// The refusal of a file that cannot be written, with the system's reason (an errno).
Refusal cannot_write(const std::string& path, int error);

/// `-` is /dev/stdout. Follows symbolic links, also one whose target is not there. Throws a Refusal for an empty path, a folder, and a path that
/// cannot be looked at.
Place place_of(const std::string& path);

/// What the system says of it; false when it is not there. /dev/stdout is what standard output was when the program began.
bool status_of(const Place& place, struct stat& facts);

/// Opens a stream or descriptor for writing; the caller closes what is returned. What is standard output becomes this output
/// alone: what the program prints for people goes to standard error from then on, and nowhere if that leads to the same place.
/// Throws a Refusal when it cannot be written.
int open_stream(const Place& place);

/// Whether results go where standard output and standard error lead, so that nothing is printed for people.
bool nothing_is_printed();

/// Writes all of it, however often the system takes a part. False, with errno, when it takes no more.
bool write_all(int descriptor, const char* data, unsigned long size);

}  // namespace normquant::output
