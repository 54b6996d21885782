#include "bench/gate/code_comparison.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "bench/gate/unchanged.hpp"
#include "output/output_file.hpp"
#include "output/words.hpp"

namespace normquant::gate {

SetAside set_unchanged_aside(ProcessSettings& settings, const std::string& device) {
  SetAside aside;
  const std::string sweep = settings.folder + "/compared.json";
  std::vector<const bench::Case*> cases;
  for (const bench::Case& timed : settings.cases) cases.push_back(&timed);
  output::write_document(sweep, sweep_text(cases), output::Existing::replace);
  std::optional<ProgramFacts> sides[2];
  for (int side = 0; side < 2; ++side) {
    std::string why;
    sides[side] = facts_of(settings.programs[side], device, settings.variant, sweep, settings.folder, why);
    if (sides[side]) continue;
    aside.note = fmt::format("the machine code was not compared, so every case was timed: {}", why);
    return aside;
  }
  const std::set<std::string> unchanged = unchanged_cases(*sides[0], *sides[1]);
  std::vector<bench::Case> left;
  for (const bench::Case& timed : settings.cases) {
    const std::string name = comparison_name(timed, settings.variant);
    if (unchanged.count(name) == 0) {
      left.push_back(timed);
      continue;
    }
    reports::Comparison same;
    same.name = name;
    same.change = reports::Change::same;
    same.unchanged = true;
    aside.unchanged.push_back(std::move(same));
  }
  aside.note = fmt::format("machine code and launch code compared: {} the same and not timed",
                           output::counted(static_cast<std::int64_t>(aside.unchanged.size()),
                                           fmt::format("of {} cases is", settings.cases.size()),
                                           fmt::format("of {} cases are", settings.cases.size())));
  settings.cases = std::move(left);
  return aside;
}

}  // namespace normquant::gate
