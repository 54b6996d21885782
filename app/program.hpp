// What normquant and normquant-watched do around their subcommands.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace normquant::app {

/// Parses the command line and runs the subcommand that it names, whose exit status is left in `status`. What goes wrong becomes
/// a sentence on standard error and a status of exit_status.hpp; so does standard output that did not take all. Returns the
/// status of the program.
int run_program(CLI::App& app, int argc, char** argv, const int& status);

}  // namespace normquant::app
