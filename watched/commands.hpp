// The subcommand that only the watched program has.
#pragma once

namespace CLI {
class App;
}

namespace normquant::watched {

/// `normquant-watched counts`; `status` receives the exit status.
void add_counts_command(CLI::App& app, int& status);

}  // namespace normquant::watched
