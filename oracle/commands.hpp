// Subcommands of this folder. Each adds itself to `app` and leaves its exit status (exit_status.hpp) in `status`.
#pragma once

namespace CLI {
class App;
}

namespace normquant::oracle {

void add_oracle_command(CLI::App& app, int& status);

}  // namespace normquant::oracle
