// The hidden `normquant plugin-timer`: a process in which a plugin's variants are timed, started by `normquant bench`.
#include <cstdlib>
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "bench/plugin_timings.hpp"

namespace normquant::bench {

void add_plugin_timer_command(CLI::App& app, int& status) {
  auto process = std::make_shared<TimerProcess>();
  CLI::App* command = app.add_subcommand(plugins::timer_command, "A process that times a plugin; not for people");
  command->group("");
  command->add_option("--plugin", process->plugin)->required();
  command->add_option("--device", process->device)->required();
  command->add_flag("--quick", process->quick);
  command->add_flag("--cold", process->cold);
  command->add_flag("--hot", process->hot);
  command->add_flag("--copy", process->copy);
  command->add_flag("--profiled", process->profiled);
  command->callback([process, &status] {
    plugins::Requests requests;
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0);  // as `bench` does, and why
    status = serve_plugin_timings(requests, *process);
  });
}

}  // namespace normquant::bench
