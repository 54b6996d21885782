// The program whose kernels are watched: validates them on the host device and reports races.
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/program.hpp"
#include "exit_status.hpp"

int main(int argc, char** argv) {
  using namespace normquant;
  CLI::App app{"normquant-watched: normquant validate on the host device, and every access to memory is watched",
               "normquant-watched"};
  app.require_subcommand(1);
  int status = exit_pass;
  validate::add_list_command(app, status);
  validate::add_validate_command(app, status);
  validate::add_plugin_worker_command(app, status);
  watched::add_counts_command(app, status);
  return app::run_program(app, argc, argv, status);
}
