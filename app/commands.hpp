// The subcommands. Each adds itself to `app` and leaves its exit status (exit_status.hpp) in `status`, or throws a Refusal,
// which program.cpp prints.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace normquant::validate {
void add_list_command(CLI::App& app, int& status);
void add_validate_command(CLI::App& app, int& status);
/// The hidden `plugin-worker`: a process in which a plugin is described or checked (validate/plugin_checks.hpp); and
/// `device-checker`: one that checks on one of several devices (validate/device_checks.hpp).
void add_plugin_worker_command(CLI::App& app, int& status);
}  // namespace normquant::validate

namespace normquant::check {
void add_check_command(CLI::App& app, int& status);
}

namespace normquant::oracle {
void add_oracle_command(CLI::App& app, int& status);
}

namespace normquant::bench {
struct BenchOptions;
/// Adds the options of `normquant bench`; `options` outlives the command.
void add_bench_options(CLI::App& command, BenchOptions& options);
void add_bench_command(CLI::App& app, int& status);
/// The hidden `plugin-timer`: a process in which a plugin's variants are timed (bench/plugin_timings.hpp).
void add_plugin_timer_command(CLI::App& app, int& status);
/// The hidden `device-timer`: a process that times on one of several devices (bench/many_devices.hpp).
void add_device_timer_command(CLI::App& app, int& status);
/// `normquant merge`: joins the record files of shards.
void add_merge_command(CLI::App& app, int& status);
/// `normquant products`: times the layer's matrix products alone.
void add_products_command(CLI::App& app, int& status);
void add_env_command(CLI::App& app, int& status);
/// `normquant --version`: version, commit, compilers.
void add_version_flag(CLI::App& app);
}  // namespace normquant::bench

namespace normquant::app {
/// `normquant completion bash|zsh`: what the shell completes.
void add_completion_command(CLI::App& app, int& status);
/// `normquant man`: the manual page.
void add_man_command(CLI::App& app, int& status);
}  // namespace normquant::app

namespace normquant::tune {
void add_tune_command(CLI::App& app, int& status);
}

namespace normquant::reports {
void add_report_command(CLI::App& app, int& status);
}

namespace normquant::gate {
struct GateOptions;
/// Adds the options of `normquant gate`; `options` outlives the command.
void add_gate_options(CLI::App& command, GateOptions& options);
/// The sentence that refuses what does not go together; empty when all is well.
std::string contradiction(const GateOptions& options);
void add_gate_command(CLI::App& app, int& status);
/// `normquant launches`: what the gate asks programs before it times them.
void add_launches_command(CLI::App& app, int& status);
}  // namespace normquant::gate

namespace normquant::watched {
/// `normquant-watched counts`, which only the watched program has.
void add_counts_command(CLI::App& app, int& status);
}  // namespace normquant::watched
