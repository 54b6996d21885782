// Subcommands of this folder. Each adds itself to `app` and leaves its exit status (exit_status.hpp) in `status`.
#pragma once

namespace CLI {
class App;
}

namespace normquant::reports {

void add_report_command(CLI::App& app, int& status);

}  // namespace normquant::reports
