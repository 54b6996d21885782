// What became of a case on a variant: one vocabulary from a check to a page.
#pragma once

#include <optional>
#include <string_view>

namespace normquant::validate {

enum class Outcome {
  pass,     ///< the variant ran and every output is right
  wrong,    ///< the variant ran and an output is not right
  hazard,   ///< the kernel breaks a rule of memory (docs/races.md), whatever its results are; `findings` say how
  skipped,  ///< the variant does not serve the problem; `reason` says why. Never counts as pass
  error     ///< nothing was judged: CUDA, memory, the host execution or a plugin failed; `reason` says how
};

/// The word that results, records and pages have for it: the enumerator's.
constexpr std::string_view name_of(Outcome outcome) {
  constexpr std::string_view names[] = {"pass", "wrong", "hazard", "skipped", "error"};
  return names[static_cast<std::size_t>(outcome)];
}

/// The inverse; `fail` is what files of earlier versions call wrong. Nothing for other words.
constexpr std::optional<Outcome> outcome_named(std::string_view name) {
  if (name == "fail") return Outcome::wrong;
  for (const Outcome outcome : {Outcome::pass, Outcome::wrong, Outcome::hazard, Outcome::skipped, Outcome::error}) {
    if (name_of(outcome) == name) return outcome;
  }
  return std::nullopt;
}

}  // namespace normquant::validate
