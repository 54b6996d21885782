#include "tests/mutants/campaign.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/mutants/processes.hpp"

namespace normquant::mutants {
namespace {

/// A process that did not come to its end is a catch too.
Finding finding_of(const Mutant& mutant, const Campaign& campaign, validate::SuiteSize suite, const Ended& ended) {
  Finding finding;
  const bool hung = ended.hung || ended.signal == SIGXCPU;
  if (!ended.text.empty()) {
    finding = nlohmann::json::parse(ended.text).get<Finding>();
  } else {
    finding.mutant = mutant.name;
    finding.device = campaign.device.name();
    finding.suite = name_of(suite);
    finding.caught = true;
    finding.check = hung ? "hang" : "crash";
    finding.reason = hung ? "no case came to its end in time" : std::string(strsignal(ended.signal));
  }
  finding.seconds = ended.seconds;
  return finding;
}

}  // namespace

bool runs_on(const Mutant& mutant, DeviceKind kind) {
#if defined(NORMQUANT_WATCHED)
  if (!mutant.on_host && !mutant.on_gpu) return true;  // only a watcher can see it
#endif
  return kind == DeviceKind::host ? mutant.on_host : mutant.on_gpu;
}

std::vector<Finding> run_campaign(const Campaign& campaign, std::vector<const Mutant*> mutants,
                                  const std::function<void(const Finding& finding)>& found) {
  std::vector<Finding> all;
  for (const validate::SuiteSize suite : campaign.suites) {
    const std::vector<Step> steps = campaign.measure_reach
                                        ? steps_of(campaign.device, suite, campaign.seed, campaign.side_by_side)
                                        : std::vector<Step>{};
    // A case that takes long in production takes long with a mutant too.
    const double most_silent = std::max(campaign.most_silent, steps.empty() ? 0.0 : 4 * steps.back().seconds);
    std::vector<Work> work;
    for (const Mutant* mutant : mutants) {
      work.emplace_back([&campaign, &steps, mutant, suite](const std::function<void()>& alive) -> std::string {
        if (mutant->site != 0 && campaign.measure_reach) {
          return nlohmann::json(
                     find_reached(*mutant, campaign.device, name_of(suite), steps, campaign.most_seconds, alive))
              .dump();
        }
        const auto hint = campaign.hints.find(mutant->name);
        return nlohmann::json(find(*mutant, campaign.device, suite, campaign.seed,
                                   hint == campaign.hints.end() ? nullptr : &hint->second, alive))
            .dump();
      });
    }
    std::vector<bool> caught(mutants.size());
    run_processes(work, campaign.side_by_side, most_silent, [&](std::size_t index, const Ended& ended) {
      all.push_back(finding_of(*mutants[index], campaign, suite, ended));
      caught[index] = all.back().caught;
      found(all.back());
    });
    if (!campaign.stop_when_caught) continue;
    std::vector<const Mutant*> left;
    for (std::size_t i = 0; i < mutants.size(); ++i) {
      if (!caught[i]) left.push_back(mutants[i]);
    }
    mutants = left;
  }
  return all;
}

}  // namespace normquant::mutants
