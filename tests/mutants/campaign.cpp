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
  Reach passed{campaign.device, {}, campaign.seed, {}, {}, 0};  // the suite before
  for (const validate::SuiteSize suite : campaign.suites) {
    std::vector<bool> caught(mutants.size());
    std::vector<std::size_t> left;  // those that were not found before
    for (std::size_t i = 0; i < mutants.size(); ++i) {
      const auto before = std::find_if(campaign.earlier.begin(), campaign.earlier.end(), [&](const Finding& finding) {
        return finding.mutant == mutants[i]->name && finding.suite == name_of(suite);
      });
      if (before == campaign.earlier.end()) {
        const auto hint = campaign.hints.find(mutants[i]->name);
        const bool passes_it =
            hint != campaign.hints.end() && hint->second.suite != name_of(suite) && suite != campaign.suites.back();
        if (!(passes_it && campaign.stop_when_caught)) left.push_back(i);
        continue;
      }
      all.push_back(*before);
      caught[i] = before->caught;
      found(*before);
    }
    Reach reach{campaign.device, suite, campaign.seed, {}, {}, 0};
    const std::string kept = campaign.reach_kept.empty() ? "" : campaign.reach_kept + std::string(name_of(suite));
    if (campaign.measure_reach) {
      reach =
          measure_reach(campaign.device, suite, campaign.seed, {campaign.side_by_side, campaign.longest_case, kept});
      reach.most_seconds = campaign.most_seconds / (suite == campaign.suites.back() ? 1 : 4);
    }
    // A case that takes long in production takes long with a mutant too.
    double most_silent = campaign.most_silent;
    for (const Step& step : reach.steps) {
      if (step.measured) most_silent = std::max(most_silent, 4 * step.seconds);
    }
    std::vector<Work> work;
    for (const std::size_t i : left) {
      const Mutant* const mutant = mutants[i];
      work.emplace_back([&campaign, &reach, &passed, mutant, suite](const std::function<void()>& alive) -> std::string {
        if (mutant->site != 0 && campaign.measure_reach) {
          const Reach* const before = campaign.stop_when_caught && !passed.steps.empty() ? &passed : nullptr;
          return nlohmann::json(find_reached(*mutant, reach, before, alive)).dump();
        }
        const auto hint = campaign.hints.find(mutant->name);
        return nlohmann::json(find(*mutant, campaign.device, suite, campaign.seed,
                                   hint == campaign.hints.end() ? nullptr : &hint->second, alive))
            .dump();
      });
    }
    run_processes(work, campaign.side_by_side, most_silent, [&](std::size_t index, const Ended& ended) {
      all.push_back(finding_of(*mutants[left[index]], campaign, suite, ended));
      caught[left[index]] = all.back().caught;
      found(all.back());
    });
    passed = std::move(reach);
    if (!campaign.stop_when_caught) continue;
    std::vector<const Mutant*> missed;
    for (std::size_t i = 0; i < mutants.size(); ++i) {
      if (!caught[i]) missed.push_back(mutants[i]);
    }
    mutants = missed;
  }
  return all;
}

}  // namespace normquant::mutants
