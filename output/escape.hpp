// Names of kernels, files and cases come from outside: what they become where a reader would take a part of them for markup.
#pragma once

#include <string>
#include <string_view>

namespace normquant::output {

/// For a terminal and for one line of it: control characters (C0, DEL, C1), line ends among them, become '?'.
std::string printable(std::string_view text);

/// Valid UTF-8: what is none becomes U+FFFD.
std::string valid_utf8(std::string_view text);

/// For text and attributes of XML 1.0: valid UTF-8, &, <, >, quotes escaped, and what XML forbids replaced by '?'.
std::string escaped_for_xml(std::string_view text);

/// One word of a POSIX shell, quoted where it needs to be; control characters are written as $'\x1b', which bash and zsh read.
std::string quoted_for_shell(std::string_view text);

}  // namespace normquant::output
