#include "app/validate_asked.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "commit.hpp"
#include "exit_status.hpp"
#include "refusal.hpp"
#include "validate/card.hpp"

namespace normquant::validate {

RunPlan asked_of(const ValidateOptions& options, const Plan& plan) {
  RunPlan asked;
  asked.commit = bench::build::commit;
  for (const Plan::OnDevice& device : plan.devices) {
    asked.devices.push_back({device.choice.name(), device.info});
    if (device.choice.kind == DeviceKind::cuda) asked.driver = cuda_driver();
  }
  asked.suite = options.suite;
  asked.variant = options.variant;
  for (const Operation op : chosen_operations(options)) asked.ops.emplace_back(name_of(op));
  asked.shapes = options.shapes;
  asked.dtypes = options.dtypes;
  asked.problems = options.cases;
  asked.seed = options.seed;
  asked.of_other_shapes = plan.of_other_shapes;
  asked.shard = options.shard;
  asked.cases = cases_of(plan.jobs);
  asked.cases_of_shards = plan.cases_of_shards;
  return asked;
}

ValidateOptions options_of(const RunPlan& asked) {
  ValidateOptions options;
  options.suite = asked.suite;
  options.variant = asked.variant;
  options.ops = asked.ops;
  options.shapes = asked.shapes;
  options.dtypes = asked.dtypes;
  options.cases = asked.problems;
  options.seed = asked.seed;
  return options;
}

std::vector<Plan::OnDevice> devices_of(const RunPlan& asked) {
  std::vector<Plan::OnDevice> devices;
  for (const RunPlan::OnDevice& device : asked.devices) {
    DeviceChoice choice{device.info.kind, DeviceChoice::any_of_list};
    const std::string_view name = device.name;
    constexpr std::string_view prefix = "cuda:";
    if (name.starts_with(prefix)) {
      (void)std::from_chars(name.data() + prefix.size(), name.data() + name.size(), choice.index);
    }
    if (choice.name() != name) throw Refusal{exit_usage, fmt::format("'{}' is no device of a run", device.name)};
    devices.push_back({choice, device.info, {}});
  }
  return devices;
}

}  // namespace normquant::validate
