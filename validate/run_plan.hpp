// What a validation was asked for, as its file says it: by this `normquant merge` joins the files of shards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include <normquant/device.hpp>

namespace normquant::validate {

struct RunPlan {
  struct OnDevice {
    std::string name;  ///< as results have it: host, cuda:0, cuda:all
    DeviceInfo info;   ///< the suite was drawn for it
  };
  std::string commit;  ///< of the program; with +dirty when its checkout had changes
  std::string driver;  ///< newest CUDA that the driver serves, as 13.0; empty on the host device
  std::vector<OnDevice> devices;
  std::string suite, variant;
  std::vector<std::string> ops, shapes, dtypes, problems;  ///< problems: of --case
  std::uint64_t seed = 1;
  std::string of_other_shapes;       ///< operations that have none of the shapes: a sentence each
  std::string shard;                 ///< I/N; empty: all
  std::int64_t cases = 0;            ///< of this shard: problems, each with all its variants
  std::int64_t cases_of_shards = 0;  ///< of all shards together
};

nlohmann::json to_json(const RunPlan& plan);

/// The inverse. Throws what nlohmann's at() and get() throw, or std::invalid_argument.
RunPlan run_plan_from_json(const nlohmann::json& document);

/// A whole number from 0 to `most` of what somebody else may have written: not one with a fraction, nor one whose sums overflow.
/// Throws as above.
std::int64_t count_in(const nlohmann::json& document, const char* name, std::int64_t most = 1'000'000'000'000);

}  // namespace normquant::validate
