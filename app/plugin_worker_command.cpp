// The hidden `normquant plugin-worker` and `normquant device-checker`: processes in which a plugin runs, started by the commands
// that take --plugin, and in which cases are checked on one of several devices.
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/worker.hpp"
#include "validate/device_checks.hpp"
#include "validate/plugin_checks.hpp"

namespace normquant::validate {
namespace {

struct WorkerOptions {
  std::string plugin, role;
};

int work(const WorkerOptions& options) {
  plugins::Requests requests;
  if (options.role == "check") return serve_plugin_checks(requests, options.plugin);
  if (plugins::load_and_describe(requests, options.plugin)) plugins::serve_why_not(requests);
  return exit_pass;  // what is wrong with a plugin was answered; whoever asked says it
}

}  // namespace

void add_plugin_worker_command(CLI::App& app, int& status) {
  auto options = std::make_shared<WorkerOptions>();
  CLI::App* command = app.add_subcommand(plugins::worker_command, "A process in which a plugin runs; not for people");
  command->group("");
  command->add_option("--plugin", options->plugin)->required();
  command->add_option("--role", options->role)->required();
  command->callback([options, &status] { status = work(*options); });
  CLI::App* checker =
      app.add_subcommand(checker_command, "A process that checks on one of several devices; not for people");
  checker->group("");
  checker->callback([&status] {
    plugins::Requests requests;
    status = serve_device_checks(requests);
  });
}

}  // namespace normquant::validate
