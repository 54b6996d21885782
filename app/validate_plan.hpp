// What `normquant validate` is asked for, and the jobs that this means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/plugin/worker.hpp"
#include "output/output_file.hpp"
#include "validate/run.hpp"

namespace CLI {
class App;
}

namespace normquant::validate {

struct ValidateOptions {
  std::string device = "host", variant, suite = "smoke", shard, json, junit;
  std::vector<std::string> ops, shapes, dtypes, cases, plugins;
  std::uint64_t seed = 1, schedule_seed = 1;
  int jobs = 0, slowest = 0;
  double plugin_timeout = plugins::default_seconds;
  bool warm = false, resume = false, fail_fast = false;
  bool list = false, dry_run = false, require_gpu = false, after_others = false, no_limit = false, coverage = false;
  double most_minutes = 60;
  output::Existing existing = output::Existing::refuse;

  /// A full suite owes every variant a check; a narrower question does not.
  bool full() const { return shapes.empty() && dtypes.empty() && cases.empty() && shard.empty() && !fail_fast; }
};

/// The jobs, their devices, and a sentence when `--device all` found no GPU.
struct Plan {
  struct OnDevice {
    DeviceChoice choice;
    DeviceInfo info;
    std::vector<Case> cases;  ///< drawn for this device
  };
  std::vector<OnDevice> devices;
  std::vector<ListedDevice> cards;  ///< of a list (--device cuda:all): they share the jobs of the one in `devices`
  std::vector<Job> jobs;
  std::int64_t cases_of_shards = 0;  ///< problems, each with all its variants, of all shards together
  std::string left_out;
  std::string of_other_shapes;  ///< operations that have none of the shapes: a sentence each
};

/// The options of `normquant validate`.
void add_validate_options(CLI::App& command, ValidateOptions& options);

/// Of --op; all where there is none. Throws a Refusal for a name that is none.
std::vector<Operation> chosen_operations(const ValidateOptions& options);

/// Of --suite. Throws a Refusal for a name that is none.
SuiteSize chosen_suite(const ValidateOptions& options);

/// Problems, each with all its variants.
std::int64_t cases_of(const std::vector<Job>& jobs);

/// Throws a Refusal when an option means nothing, or nothing matches.
Plan plan_of(const ValidateOptions& options);

}  // namespace normquant::validate
