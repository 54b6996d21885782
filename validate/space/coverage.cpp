#include "validate/space/coverage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "validate/space/factors.hpp"
#include "validate/space/layer.hpp"

namespace normquant::validate::space {
namespace {

using Keys = std::set<std::pair<std::string, std::string>>;  ///< by whom it is owed, and what

Keys keys_of(SuiteSize size, const VariantEntry& variant, const Problem& problem) {
  Keys keys;
  if (is_layer(problem.op)) {
    keys.emplace(variant.name, fmt::format("sizes {}x{}x{}", problem.rows, problem.columns, problem.outputs()));
    if (problem.values != Values::normal) keys.emplace(variant.name, fmt::format("values {}", name_of(problem.values)));
    return keys;
  }
  if (size == SuiteSize::smoke) {
    for (const Shown& one : shown_by(variant, problem)) keys.emplace(one.by, one.what);
    return keys;
  }
  const std::string by = fmt::format("{}, {}", variant.name, form_of(problem));
  for (const std::string& one : classes_of(variant, problem)) keys.emplace(by, one);
  return keys;
}

/// The pairs of levels that the problems have.
std::set<std::string> pairs_of(const Table& table, const std::vector<const Problem*>& problems) {
  std::set<std::string> pairs;
  for (const Problem* problem : problems) {
    std::vector<std::pair<std::size_t, std::string>> had;
    for (std::size_t f = 0; f < table.factors.size(); ++f) {
      for (const Level& level : table.factors[f].levels) {
        if (has(*problem, level)) had.emplace_back(f, table.factors[f].name + " " + level.name);
      }
    }
    for (const auto& [factor, one] : had) {
      for (const auto& [other_factor, other] : had) {
        if (factor < other_factor) pairs.insert(fmt::format("{} with {}", one, other));
      }
    }
  }
  return pairs;
}

void add_pairs(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<const Problem*>& checked,
               Owed& owed) {
  const Table table = table_of(op);
  const std::vector<Problem> drawn = rest_of(op, size, seed);
  std::vector<const Problem*> all;
  std::set<std::string> texts;
  for (const Problem& one : drawn) {
    all.push_back(&one);
    texts.insert(to_text(one));
  }
  std::vector<const Problem*> some;
  std::copy_if(checked.begin(), checked.end(), std::back_inserter(some),
               [&](const Problem* one) { return texts.contains(to_text(*one)); });
  const std::set<std::string> met = pairs_of(table, some);
  for (const std::string& pair : pairs_of(table, all)) (met.contains(pair) ? owed.met : owed.unmet).insert(pair);
}

}  // namespace

std::map<std::string, Owed> coverage_of(Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device,
                                        const std::vector<CaseResult>& results) {
  const std::vector<VariantEntry> variants = catalogue(op, device.kind);
  Keys met;
  std::set<std::string> seen;
  std::vector<const Problem*> checked;
  for (const CaseResult& result : results) {
    const bool skipped = result.verdict.outcome == Outcome::skipped || result.verdict.outcome == Outcome::error;
    if (skipped || result.problem.op != op) continue;
    const auto variant = std::find_if(variants.begin(), variants.end(),
                                      [&](const VariantEntry& entry) { return entry.name == result.variant; });
    if (variant == variants.end()) continue;
    met.merge(keys_of(size, *variant, result.problem));
    if (seen.insert(to_text(result.problem)).second) checked.push_back(&result.problem);
  }
  std::map<std::string, Owed> coverage;
  const auto owe = [&](const VariantEntry& variant, const Problem& problem) {
    for (const auto& key : keys_of(size, variant, problem)) {
      Owed& owed = coverage[key.first];
      (met.contains(key) ? owed.met : owed.unmet).insert(key.second);
    }
  };
  if (is_layer(op)) {
    // Of the layer only `packed` and the backward serve every problem that the library of products may refuse.
    for (const Problem& problem : layer_sizes(op, device, seed)) owe(variants.back(), problem);
    for (const Problem& problem : layer_values(op, seed)) owe(variants.back(), problem);
    if (size != SuiteSize::smoke) {
      for (const Problem& problem : large_layers(op, device, seed)) owe(variants.back(), problem);
    }
  } else {
    for (const Run& run : all_runs(op, seed, device)) owe(variants[run.variant], run.problem);
  }
  add_pairs(op, size, seed, checked, coverage["pairs of " + std::string(name_of(op))]);
  return coverage;
}

std::size_t count_unmet(const std::map<std::string, Owed>& coverage) {
  std::size_t count = 0;
  for (const auto& [by, owed] : coverage) count += owed.unmet.size();
  return count;
}

}  // namespace normquant::validate::space
