// `normquant merge`: the record files of all shards of a sweep as one file, as an undivided run would have written it.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "bench/merge.hpp"
#include "bench/session.hpp"
#include "exit_status.hpp"

namespace normquant::bench {
namespace {

struct MergeOptions {
  std::vector<std::string> files;
  std::string out;
};

int run_merge(const MergeOptions& options) {
  std::string why;
  const std::optional<std::string> merged = merge_shards(options.files, why);
  if (!merged) throw Refusal{exit_usage, why};
  std::FILE* file = std::fopen(options.out.c_str(), "w");
  bool written = file != nullptr && std::fwrite(merged->data(), 1, merged->size(), file) == merged->size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written) throw Refusal{exit_infrastructure, "cannot write " + options.out};
  return exit_pass;
}

}  // namespace

void add_merge_command(CLI::App& app, int& status) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = app.add_subcommand("merge", "join the record files of all shards of one sweep");
  command->add_option("FILE", options->files, "record files of `normquant bench --shard I/N`, one of each shard")
      ->required();
  command->add_option("--out", options->out, "file to write")->required();
  command->callback([options, &status] {
    try {
      status = run_merge(*options);
    } catch (const Refusal& refusal) {
      fmt::print(stderr, "normquant merge: {}\n", refusal.sentence);
      status = refusal.status;
    }
  });
}

}  // namespace normquant::bench
