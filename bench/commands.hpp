// Subcommands of this folder. Each adds itself to `app` and leaves its exit status (exit_status.hpp) in `status`.
#pragma once

namespace CLI {
class App;
}

namespace normquant::bench {

void add_bench_command(CLI::App& app, int& status);
/// `normquant merge`: joins the record files of shards.
void add_merge_command(CLI::App& app, int& status);
/// `normquant products`: times the layer's matrix products alone.
void add_products_command(CLI::App& app, int& status);
void add_env_command(CLI::App& app, int& status);

}  // namespace normquant::bench
