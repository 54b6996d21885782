// `--against BINARY_OR_GIT_REF`: the program to compare with, built when it is a commit.
#pragma once

#include <string>

namespace normquant::gate {

/// The program named by `text`: a file that can be executed, or a commit of the git repository around the current folder,
/// which is then checked out and built in build/against/COMMIT of that repository, without tests and with the compilers, flags
/// and GPU architectures of this program; through ccache or sccache where this build uses one or one is installed. A build
/// with the same options that is there already is taken. `folder` takes what the tools print.
struct ReferenceProgram {
  std::string path;  ///< empty: it failed
  int status = 0;    ///< then the exit status (exit_status.hpp)
  std::string why;   ///< and the sentence
};
ReferenceProgram reference_program(const std::string& text, const std::string& folder);

}  // namespace normquant::gate
