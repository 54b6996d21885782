// The hidden `normquant plugin-timer` and `normquant device-timer`: processes that time a plugin's variants, or the library's on
// one of several devices; started by `normquant bench` and `normquant tune`.
#include <cstdlib>
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "bench/many_devices.hpp"
#include "bench/plugin_timings.hpp"

namespace normquant::bench {

namespace {

void add_options(CLI::App& command, TimerProcess& process) {
  command.group("");
  command.add_option("--device", process.device)->required();
  command.add_flag("--quick", process.quick);
  command.add_flag("--cold", process.cold);
  command.add_flag("--hot", process.hot);
  command.add_flag("--copy", process.copy);
  command.add_flag("--profiled", process.profiled);
}

/// As `bench` loads kernels, and why.
void load_kernels_first() { (void)setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0); }

}  // namespace

void add_plugin_timer_command(CLI::App& app, int& status) {
  auto process = std::make_shared<TimerProcess>();
  CLI::App* command = app.add_subcommand(plugins::timer_command, "A process that times a plugin; not for people");
  add_options(*command, *process);
  command->add_option("--plugin", process->plugin)->required();
  command->callback([process, &status] {
    plugins::Requests requests;
    load_kernels_first();
    status = serve_plugin_timings(requests, *process);
  });
}

void add_device_timer_command(CLI::App& app, int& status) {
  auto process = std::make_shared<TimerProcess>();
  CLI::App* command = app.add_subcommand(device_command, "A process that times on one device; not for people");
  add_options(*command, *process);
  command->add_option("--card", process->card);
  command->add_option("--table", process->table);
  command->callback([process, &status] {
    plugins::Requests requests;
    load_kernels_first();
    status = serve_device(requests, *process);
  });
}

}  // namespace normquant::bench
