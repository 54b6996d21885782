#include "validate/run_plan.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <nlohmann/json.hpp>

namespace normquant::validate {
namespace {

using nlohmann::json;

std::int64_t count_of(const json& value, const char* name, std::int64_t most) {
  const bool too_large = value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(most);
  if (value.is_number_integer() && !too_large && value.get<std::int64_t>() >= 0) return value.get<std::int64_t>();
  throw std::invalid_argument(fmt::format("its \"{}\" is no whole number from 0 to {}", name, most));
}

json device_as_json(const RunPlan::OnDevice& device) {
  const DeviceInfo& info = device.info;
  return {{"name", device.name},
          {"kind", info.kind == DeviceKind::host ? "host" : "cuda"},
          {"model", info.name},
          {"compute_capability", info.compute_capability},
          {"sm_count", info.sm_count},
          {"shared_memory_per_block", info.shared_memory_per_block},
          {"l2_bytes", info.l2_bytes},
          {"max_cluster_blocks", info.max_cluster_blocks},
          {"resident_clusters", info.resident_clusters}};
}

RunPlan::OnDevice device_from_json(const json& document) {
  constexpr int most = 1'000'000;
  const auto small = [&](const char* name) { return static_cast<int>(count_in(document, name, most)); };
  RunPlan::OnDevice device{document.at("name").get<std::string>(), {}};
  DeviceInfo& info = device.info;
  const auto kind = document.at("kind").get<std::string>();
  if (kind != "host" && kind != "cuda") throw std::invalid_argument("it has a device that is neither host nor cuda");
  info.kind = kind == "host" ? DeviceKind::host : DeviceKind::cuda;
  info.name = document.at("model").get<std::string>();
  info.compute_capability = small("compute_capability");
  info.sm_count = small("sm_count");
  info.shared_memory_per_block = static_cast<std::size_t>(count_in(document, "shared_memory_per_block"));
  info.l2_bytes = static_cast<std::size_t>(count_in(document, "l2_bytes"));
  info.max_cluster_blocks = small("max_cluster_blocks");
  if (info.sm_count == 0) throw std::invalid_argument("it has a device without multiprocessors");
  const json& clusters = document.at("resident_clusters");
  if (clusters.size() != info.resident_clusters.size()) throw std::invalid_argument("it has other resident_clusters");
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    info.resident_clusters[i] = static_cast<int>(count_of(clusters.at(i), "resident_clusters", most));
  }
  return device;
}

}  // namespace

json to_json(const RunPlan& plan) {
  json devices = json::array();
  for (const RunPlan::OnDevice& device : plan.devices) devices.push_back(device_as_json(device));
  return {{"commit", plan.commit},
          {"driver", plan.driver},
          {"devices", devices},
          {"suite", plan.suite},
          {"variant", plan.variant},
          {"ops", plan.ops},
          {"shapes", plan.shapes},
          {"dtypes", plan.dtypes},
          {"problems", plan.problems},
          {"seed", plan.seed},
          {"of_other_shapes", plan.of_other_shapes},
          {"shard", plan.shard},
          {"cases", plan.cases},
          {"cases_of_shards", plan.cases_of_shards}};
}

RunPlan run_plan_from_json(const json& document) {
  RunPlan plan;
  const auto take = [&](const char* name, auto& value) { document.at(name).get_to(value); };
  take("commit", plan.commit);
  take("driver", plan.driver);
  for (const json& device : document.at("devices")) plan.devices.push_back(device_from_json(device));
  take("suite", plan.suite);
  take("variant", plan.variant);
  take("ops", plan.ops);
  take("shapes", plan.shapes);
  take("dtypes", plan.dtypes);
  take("problems", plan.problems);
  if (!document.at("seed").is_number_unsigned()) throw std::invalid_argument("its seed is no whole number");
  take("seed", plan.seed);
  take("of_other_shapes", plan.of_other_shapes);
  take("shard", plan.shard);
  plan.cases = count_in(document, "cases");
  plan.cases_of_shards = count_in(document, "cases_of_shards");
  return plan;
}

std::int64_t count_in(const json& document, const char* name, std::int64_t most) {
  return count_of(document.at(name), name, most);
}

}  // namespace normquant::validate
