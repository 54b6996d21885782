// `normquant merge`: the files of all shards as one, as an undivided run would have written it: records of `bench`, or results of
// `validate`.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/validate_asked.hpp"
#include "app/validate_conclusion.hpp"
#include "bench/merge.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "refusal.hpp"
#include "reports/records.hpp"
#include "validate/merge_results.hpp"

namespace normquant::bench {
namespace {

struct MergeOptions {
  std::vector<std::string> files, allowed;
  std::string out, junit;
  bool coverage = false;
  output::Existing existing = output::Existing::refuse;
};

/// A document of `validate` begins with a brace and is no record, whose first field is "kind".
bool looks_like_results(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char brace = 0, quote = 0;
  std::string name;
  file >> brace;
  if (!file.is_open() || file.bad()) throw Refusal{exit_usage, "cannot read " + path};
  file >> quote;
  std::getline(file, name, '"');
  return file && brace == '{' && quote == '"' && name != "kind";
}

int merge_records(const MergeOptions& options) {
  if (!options.junit.empty() || options.coverage) {
    throw Refusal{exit_usage,
                  "--junit and --coverage are of files of `normquant validate --json`, and these are records"};
  }
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

int merge_results(const MergeOptions& options) {
  std::string why;
  std::optional<validate::MergedResults> merged = validate::merge_results(options.files, options.allowed, why);
  if (!merged) throw Refusal{exit_usage, why};
  validate::ValidateOptions asked = validate::options_of(merged->plan);
  asked.coverage = options.coverage;
  (void)validate::chosen_suite(asked);  // refuses what a program does not know before anything is written
  (void)validate::chosen_operations(asked);
  validate::Plan plan;
  plan.devices = validate::devices_of(merged->plan);
  double seconds = 0;
  for (const validate::CaseResult& result : merged->results) seconds += result.seconds;
  validate::ResultFiles files(options.out, options.junit, options.existing, merged->run, merged->plan);
  for (const std::string& sentence : {merged->left_out, merged->plan.of_other_shapes}) {
    if (!sentence.empty()) fmt::print("{}\n", sentence);
  }
  validate::conclude(plan, asked, merged->results, {merged->left_out, {}}, files, seconds);
  return exit_pass;
}

int run_merge(const MergeOptions& options) {
  const bool results = looks_like_results(options.files.front());
  const auto other = std::find_if(options.files.begin(), options.files.end(),
                                  [&](const std::string& path) { return looks_like_results(path) != results; });
  if (other == options.files.end()) return results ? merge_results(options) : merge_records(options);
  const std::string& of_validate = results ? options.files.front() : *other;
  const std::string& of_bench = results ? *other : options.files.front();
  throw Refusal{exit_usage,
                fmt::format("{} is a file of `normquant validate --json` and {} is not; merge takes files of one kind",
                            of_validate, of_bench)};
}

/// Of records and of results.
std::vector<std::string> allowable() {
  std::vector<std::string> names = allowable_differences();
  for (const std::string& name : validate::allowable_result_differences()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace

void add_merge_command(CLI::App& app, int& status) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = app.add_subcommand("merge", "join the files of all shards of one sweep, or of one validation");
  command
      ->add_option("FILE", options->files,
                   "files of `normquant bench --shard I/N --out`, or of `normquant validate --shard I/N --json`, one "
                   "of each shard")
      ->required();
  command->add_option("--out", options->out, "file to write")->required();
  command
      ->add_option(
          "--allow", options->allowed,
          fmt::format(
              "merge shards that differ in it all the same: {}; repeatable. Each kind of records gets an environment "
              "record of its own",
              fmt::join(allowable(), ", ")))
      ->allow_extra_args(false)
      ->check(CLI::IsMember(allowable()));
  command->add_option("--junit", options->junit, "validate: write the results to this file as JUnit XML");
  command->add_flag("--coverage", options->coverage,
                    "validate: print which classes of the problem space the suite met, and which not");
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = run_merge(*options); });
}

}  // namespace normquant::bench
