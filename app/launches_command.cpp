// `normquant launches`: which kernels a case launches, and the digests of the code that launches them. The gate asks both of
// its programs (bench/gate/unchanged.hpp).
#include <fmt/format.h>

#include <memory>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/launch_watch.hpp"
#include "bench/environment.hpp"
#include "bench/gate/launch_code.hpp"
#include "bench/gate/processes.hpp"
#include "bench/session.hpp"
#include "bench/sweeps.hpp"
#include "exit_status.hpp"
#include "validate/repetition.hpp"

namespace normquant::gate {
namespace {

using Json = nlohmann::ordered_json;

struct LaunchesOptions {
  std::string device = "cuda", sweep = "gate", variant = "auto";
};

Json launch_code_json() {
  Json objects = Json::array();
  for (const ObjectCode& object : launch_code()) {
    objects.push_back({{"object", object.name}, {"digest", object.digest}, {"kernels", object.kernels}});
  }
  return objects;
}

Json launches_json(const std::vector<SeenLaunch>& launches) {
  Json list = Json::array();
  for (const SeenLaunch& one : launches) {
    list.push_back({{"kernel", one.kernel},
                    {"grid", one.grid},
                    {"block", one.block},
                    {"shared_bytes", one.shared_bytes},
                    {"attributes", one.attributes}});
  }
  return list;
}

/// One case, launched once; `why_not` says why it was not.
Json case_json(const bench::Case& timed, const std::string& variant, Device& device) {
  Json found = {{"case", comparison_name(timed, variant)}};
  const auto failed = [&found](const std::string& why) {
    found["why_not"] = why;
    return found;
  };
  std::string why;
  const auto prepared = validate::prepare(timed.problem, device, validate::distinct_rows(timed.problem), why);
  if (prepared == nullptr) return failed(why);
  const validate::VariantHandle handle = prepared->find(variant);
  if (!handle) return failed(fmt::format("there is no variant {}", variant));
  found["variant"] = handle.name();
  if (why = prepared->why_not(handle); !why.empty()) return failed(why);
  if (const Status status = prepared->reserve(handle); !status.ok()) return failed(status.message);
  Status status;
  found["launches"] = launches_json(launches_of([&] { status = prepared->launch(handle, nullptr); }));
  if (status.ok()) status = device.synchronize();
  return status.ok() ? found : failed(status.message);
}

int run_launches(const LaunchesOptions& options) {
  const bench::Session session =
      bench::open_session(bench::choose_device(options.device, false), {false, false, false});
  std::string why;
  const std::optional<bench::Sweep> sweep = bench::find_sweep(options.sweep, why);
  if (!sweep) throw Refusal{exit_usage, why};
  Json answer = {{"kind", "launches"}, {"schema", 1}};
  answer["environment"] = bench::first_record(session);
  answer["launch_code"] = launch_code_json();
  answer["cases"] = Json::array();
  for (const bench::Case& timed : bench::expand(*sweep)) {
    answer["cases"].push_back(case_json(timed, options.variant, *session.device));
  }
  fmt::print("{}\n", answer.dump(1, ' ', false, Json::error_handler_t::replace));
  return exit_pass;
}

}  // namespace

void add_launches_command(CLI::App& app, int& status) {
  auto options = std::make_shared<LaunchesOptions>();
  CLI::App* command = app.add_subcommand("launches", "which kernels the cases of a sweep launch, as JSON for the gate");
  command->add_option("--device", options->device, "cuda or cuda:I")->capture_default_str();
  command->add_option("--sweep", options->sweep, "name or file, as of `normquant bench`")->capture_default_str();
  command->add_option("--variant", options->variant, "a variant's name, or auto")->capture_default_str();
  command->callback([options, &status] { status = run_launches(*options); });
}

}  // namespace normquant::gate
