// `normquant env`
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "bench/environment.hpp"
#include "exit_status.hpp"

namespace normquant::bench {
namespace {

struct EnvOptions {
  std::string format = "table";
  int gpu = 0;
};

}  // namespace

void add_version_flag(CLI::App& app) {
  app.set_version_flag("--version", version_line, "print version, commit and compilers");
}

void add_env_command(CLI::App& app, int& status) {
  auto options = std::make_shared<EnvOptions>();
  CLI::App* command = app.add_subcommand("env", "describe the machine and the build, as every record file does");
  command->add_option("--format", options->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  command->add_option("--gpu", options->gpu, "which CUDA device")->check(app::count_between(0, 1023));
  command->callback([options, &status] {
    const auto environment = describe_environment(options->gpu);
    if (options->format == "json") {
      fmt::print("{}\n", environment.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    } else {
      fmt::print("{}", environment_table(environment));
    }
    status = exit_pass;
  });
}

}  // namespace normquant::bench
