// `normquant merge`: the record files of all shards of a sweep as one file, as an undivided run would have written it.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "bench/merge.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "reports/records.hpp"

namespace normquant::bench {
namespace {

struct MergeOptions {
  std::vector<std::string> files, allowed;
  std::string out;
  output::Existing existing = output::Existing::refuse;
};

int run_merge(const MergeOptions& options) {
  std::string why;
  output::OutputFile file;
  file.open(options.out, options.existing);
  for (const std::string& one : options.files) {  // one by one, so that thousands take no memory
    if (!reports::read_records({one}, why)) throw Refusal{exit_usage, why};
  }
  const std::optional<std::string> merged = merge_shards(options.files, options.allowed, why);
  if (!merged) throw Refusal{exit_usage, why};
  file.commit(*merged);
  return exit_pass;
}

}  // namespace

void add_merge_command(CLI::App& app, int& status) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = app.add_subcommand("merge", "join the record files of all shards of one sweep");
  command->add_option("FILE", options->files, "record files of `normquant bench --shard I/N`, one of each shard")
      ->required();
  command->add_option("--out", options->out, "file to write")->required();
  command
      ->add_option(
          "--allow", options->allowed,
          fmt::format("merge shards that differ in it all the same: {}; repeatable. Each kind gets an environment "
                      "record of its own",
                      fmt::join(allowable_differences(), ", ")))
      ->allow_extra_args(false)
      ->check(CLI::IsMember(allowable_differences()));
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = run_merge(*options); });
}

}  // namespace normquant::bench
