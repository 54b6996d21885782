#include "app/tune_shapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/session.hpp"
#include "bench/summary_table.hpp"
#include "bench/tune/build_table.hpp"
#include "bench/tune/regret.hpp"
#include "bench/tune/shapes_file.hpp"
#include "bench/tune/timed_cases.hpp"
#include "bench/tune/users_table.hpp"
#include "exit_status.hpp"
#include "kernels/choice/installed_models.hpp"
#include "kernels/choice/installed_tables.hpp"
#include "output/words.hpp"
#include "validate/problem_point.hpp"

namespace normquant::tune {
namespace {

using bench::Refusal;

/// A variant whose cost the model puts so much above the cheapest is not timed: e^0.3 is 1.35 times as long. But the cheapest five are.
constexpr float far_behind = 0.3F;
constexpr std::size_t always_timed = 5;

/// What the device's model has no doubt about is left out; without a model every candidate stays.
std::vector<std::string> worth_timing(const choice::Point& point, const DeviceInfo& device,
                                      const std::vector<std::string>& candidates) {
  const choice::CostModel* model = choice::model_for(device);
  const choice::CostRanking ranking = model == nullptr ? choice::CostRanking{} : choice::rank(*model, point);
  if (ranking.count == 0) return candidates;
  const std::vector<std::string_view> names = choice::variant_names(point.op);
  std::vector<std::string_view> near;
  for (std::size_t i = 0; i < ranking.count; ++i) {
    if (i < always_timed || ranking.costs[i] < ranking.costs[0] + far_behind) near.push_back(names[ranking.places[i]]);
  }
  std::vector<std::string> kept;
  for (const std::string& name : candidates) {
    if (std::find(near.begin(), near.end(), name) != near.end()) kept.push_back(name);
  }
  return kept;
}

std::vector<bench::PlannedCase> plan_shapes(const bench::Sweep& sweep, const DeviceInfo& device) {
  const Candidates candidates = candidates_of_this_build();
  std::vector<bench::PlannedCase> plan;
  for (const bench::Case& timed : bench::expand(sweep)) {
    if (is_layer(timed.problem.op)) {
      throw Refusal{exit_usage, fmt::format("{} has no variants to choose from by shape", name_of(timed.problem.op))};
    }
    for (const std::string& variant : worth_timing(point_of(timed.problem), device, candidates(timed.problem.op))) {
      plan.push_back({timed, variant, static_cast<std::int64_t>(plan.size())});
    }
  }
  return plan;
}

}  // namespace

int tune_shapes(const ShapesRequest& request) {
  std::string why;
  const std::optional<bench::Sweep> sweep = read_shapes(request.file, why);
  if (!sweep) throw Refusal{exit_usage, why};
  const bench::Session session = bench::open_session(bench::choose_device(request.device, request.require_gpu));
  const std::string path = request.out.empty() ? users_table_path(session.device->info().name) : request.out;
  if (path.empty())
    throw Refusal{exit_usage, "there is no folder for your tables; set NORMQUANT_TABLES or give --out FILE"};
  if (!session.on_gpu()) fmt::print("host: CPU execution, not a GPU time; this table says nothing about any GPU\n");
  bench::Tally counts;
  const reports::RecordSet records =
      time_plan(session, plan_shapes(*sweep, session.device->info()), true, request.records, counts);
  fmt::print("{}\n", bench::tally_text(counts));
  const std::optional<TimedDevice> device = device_of(records, why);
  if (!device) throw Refusal{counts.error > 0 ? exit_infrastructure : exit_usage, why};
  std::vector<std::string> notes;
  const std::vector<TimedCase> cases = timed_cases(records, candidates_of_this_build(), notes);
  const std::size_t kept = keep_in_users_table(path, *device, cells_of(cases));
  for (const std::string& note : notes) fmt::print("{}\n", note);
  fmt::print("{}: {} timed, {} in {}\n", device->name,
             output::counted(static_cast<int>(cases.size()), "problem", "problems"), kept, path);
  fmt::print("`auto` lost here, before this table: {}\n", summary(regrets_of_auto(cases)));
  if (counts.wrong > 0) throw Refusal{exit_wrong_results, "results were WRONG; the table does without these variants"};
  if (counts.error > 0) throw Refusal{exit_infrastructure, "cases ended in an error; the table does without them"};
  return exit_pass;
}

}  // namespace normquant::tune
