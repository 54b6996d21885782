// `--against BINARY_OR_GIT_REF`: the program to compare with, built when it is a commit.
#pragma once

#include <string>

namespace normquant::gate {

/// The program named by `text`: a file that can be executed, or a commit of the git repository around the current folder,
/// which is then checked out and built (release, without tests, for the GPU architectures of this build) in
/// build/against/COMMIT of that repository; a build that is there already is taken. `folder` takes what the tools print.
struct ReferenceProgram {
  std::string path;  ///< empty: it failed
  int status = 0;    ///< then the exit status (exit_status.hpp)
  std::string why;   ///< and the sentence
};
ReferenceProgram reference_program(const std::string& text, const std::string& folder);

}  // namespace normquant::gate
