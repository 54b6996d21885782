// The program: one subcommand each for listing, validating, timing, tuning, reporting, gating and describing the machine.
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/program.hpp"
#include "exit_status.hpp"

int main(int argc, char** argv) {
  using namespace normquant;
  CLI::App app{"normquant: is this fused norm + quantise kernel right, and is it as fast as the hardware allows?",
               "normquant"};
  app.require_subcommand(1);
  int status = exit_pass;  // every subcommand leaves its exit status here
  bench::add_version_flag(app);
  validate::add_list_command(app, status);
  validate::add_validate_command(app, status);
  validate::add_plugin_worker_command(app, status);
  check::add_check_command(app, status);
  oracle::add_oracle_command(app, status);
  bench::add_bench_command(app, status);
  bench::add_plugin_timer_command(app, status);
  bench::add_device_timer_command(app, status);
  bench::add_merge_command(app, status);
  bench::add_products_command(app, status);
  bench::add_env_command(app, status);
  tune::add_tune_command(app, status);
  reports::add_report_command(app, status);
  gate::add_gate_command(app, status);
  gate::add_launches_command(app, status);
  app::add_completion_command(app, status);
  app::add_man_command(app, status);
  return app::run_program(app, argc, argv, status);
}
