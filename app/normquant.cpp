// The program: one subcommand each for listing, validating, timing, tuning, reporting, gating and describing the machine.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"

int main(int argc, char** argv) {
  using namespace normquant;
  CLI::App app{"normquant: is this fused norm + quantise kernel right, and is it as fast as the hardware allows?",
               "normquant"};
  app.require_subcommand(1);
  int status = exit_pass;  // every subcommand leaves its exit status here
  validate::add_list_command(app, status);
  validate::add_validate_command(app, status);
  validate::add_plugin_worker_command(app, status);
  check::add_check_command(app, status);
  oracle::add_oracle_command(app, status);
  bench::add_bench_command(app, status);
  bench::add_plugin_timer_command(app, status);
  bench::add_merge_command(app, status);
  bench::add_products_command(app, status);
  bench::add_env_command(app, status);
  tune::add_tune_command(app, status);
  reports::add_report_command(app, status);
  gate::add_gate_command(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    const auto named =
        app.get_subcommands([&](const CLI::App* command) { return argc > 1 && command->get_name() == argv[1]; });
    if (argc > 1 && named.empty()) {
      std::fprintf(stderr, "normquant: '%s' does not name a subcommand\n", argv[1]);
    }
    app.exit(error);
    return exit_usage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_pass : exit_usage;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "normquant: out of memory; try a smaller shape or fewer --jobs\n");
    return exit_infrastructure;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "normquant: %s\n", error.what());
    return exit_infrastructure;
  }
  return status;
}
