// The subcommand of this folder. It adds itself to `app` and leaves its exit status (exit_status.hpp) in `status`.
#pragma once

namespace CLI {
class App;
}

namespace normquant::gate {

void add_gate_command(CLI::App& app, int& status);

}  // namespace normquant::gate
