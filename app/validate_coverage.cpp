#include "app/validate_coverage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "validate/space/coverage.hpp"

namespace normquant::validate {

std::vector<std::string> unmet_classes(const Plan& plan, const std::vector<CaseResult>& results,
                                       const ValidateOptions& options) {
  std::vector<std::string> unmet;
  if (!options.full() || !options.variant.empty()) return unmet;
  for (const Plan::OnDevice& device : plan.devices) {
    std::vector<CaseResult> own;
    std::copy_if(results.begin(), results.end(), std::back_inserter(own),
                 [&](const CaseResult& result) { return result.device == device.choice.name(); });
    for (Operation op : chosen_operations(options)) {
      const auto coverage = space::coverage_of(op, chosen_suite(options), options.seed, device.info, own);
      for (const auto& [by, owed] : coverage) {
        if (options.coverage) {
          fmt::print("{} {} {}: {} classes met, {} not met\n", device.choice.name(), name_of(op), by, owed.met.size(),
                     owed.unmet.size());
          for (const std::string& one : owed.met) fmt::print("  met      {}\n", one);
        }
        for (const std::string& one : owed.unmet) {
          if (options.coverage) fmt::print("  NOT MET  {}\n", one);
          unmet.push_back(fmt::format("{} on {}: {}", by, device.choice.name(), one));
        }
      }
    }
  }
  return unmet;
}

}  // namespace normquant::validate
