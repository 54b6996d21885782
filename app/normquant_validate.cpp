// The part of normquant that a first verdict needs: list and validate. scripts/run.sh builds it before the rest.
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/program.hpp"
#include "exit_status.hpp"

int main(int argc, char** argv) {
  using namespace normquant;
  CLI::App app{"normquant-validate: the subcommands list and validate of normquant", "normquant-validate"};
  app.require_subcommand(1);
  int status = exit_pass;
  validate::add_list_command(app, status);
  validate::add_validate_command(app, status);
  validate::add_plugin_worker_command(app, status);
  return app::run_program(app, argc, argv, status);
}
