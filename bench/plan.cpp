#include "bench/plan.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <regex>

#include "bench/sweeps.hpp"
#include "output/did_you_mean.hpp"

namespace normquant::bench {
namespace {

std::optional<Narrowing> parse_narrowing(const PlanRequest& request, std::string& why) {
  Narrowing narrowing;
  for (const std::string& name : request.ops) {
    const std::vector<Operation> named = validate::operations_named(name);
    if (named.empty()) {
      why = fmt::format("there is no operation \"{}\"; give one of {}, short or full{}", name,
                        validate::known_operations, output::did_you_mean(name, validate::operation_names()));
      return std::nullopt;
    }
    narrowing.ops.insert(narrowing.ops.end(), named.begin(), named.end());
  }
  for (const std::string& text : request.shapes) {
    const std::optional<validate::Shape> shape = parse_timed_shape(text, why);
    if (!shape) return std::nullopt;
    narrowing.shapes.push_back(*shape);
  }
  for (const std::string& name : request.dtypes) {
    const std::optional<DType> dtype = dtype_named(name);
    if (!dtype) {
      why = fmt::format("there is no type \"{}\"; give float32, float16 or bfloat16{}", name,
                        output::did_you_mean(name, {"float32", "float16", "bfloat16"}));
      return std::nullopt;
    }
    narrowing.dtypes.push_back(*dtype);
  }
  return narrowing;
}

std::optional<Sweep> chosen_sweep(const PlanRequest& request, std::string& why) {
  if (!request.sweep.empty()) return find_sweep(request.sweep, why);
  if (!request.shapes.empty()) return all_forms();
  return find_sweep(request.default_sweep, why);
}

/// Choices that a pattern may name in place of variants; empty where it names none.
std::vector<std::string> named_choices(const std::string& pattern) {
  if (pattern == "auto" || pattern == "invariant") return {pattern};
  if (pattern == "auto,invariant") return {"auto", "invariant"};
  return {};
}

/// The variants of every operation that the pattern matches.
std::optional<std::map<Operation, std::vector<std::string>>> matching_variants(const PlanRequest& request,
                                                                               const VariantNames& variants,
                                                                               std::string& why) {
  const std::string& pattern = request.variant;
  const std::vector<std::string> choices = named_choices(pattern);
  const bool also_invariant = request.invariant && (choices.empty() || choices.back() == "auto");
  std::map<Operation, std::vector<std::string>> matching;
  try {
    const std::regex regex(pattern.empty() ? ".*" : pattern);
    for (Operation op : all_operations) {
      matching[op] = choices;
      if (choices.empty()) {
        for (std::string& name : variants(op)) {
          if (std::regex_search(name, regex)) matching[op].push_back(std::move(name));
        }
      }
      if (also_invariant) matching[op].emplace_back("invariant");
    }
  } catch (const std::regex_error&) {
    why = fmt::format("the variant pattern \"{}\" is not a regular expression", pattern);
    return std::nullopt;
  }
  return matching;
}

}  // namespace

std::optional<std::vector<PlannedCase>> make_plan(const PlanRequest& request, const VariantNames& variants,
                                                  std::string& why) {
  const std::optional<Narrowing> narrowing = parse_narrowing(request, why);
  if (!narrowing) return std::nullopt;
  const std::optional<Sweep> sweep = chosen_sweep(request, why);
  if (!sweep) return std::nullopt;
  auto matching = matching_variants(request, variants, why);
  if (!matching) return std::nullopt;
  const std::vector<Case> cases = expand(narrowed(*sweep, *narrowing));
  std::vector<PlannedCase> plan;
  for (const Case& timed : cases) {
    for (const std::string& variant : (*matching)[timed.problem.op]) {
      plan.push_back({timed, variant, static_cast<std::int64_t>(plan.size())});
    }
  }
  if (!plan.empty()) return plan;
  for (std::size_t i = 0; cases.empty() && i < request.shapes.size(); ++i) {
    if (narrowing->shapes[i].k_out == 0) continue;
    why = fmt::format("the shape \"{}\" has a K_out, which only bit_linear has", request.shapes[i]);
    return std::nullopt;
  }
  why = cases.empty()
            ? fmt::format("the sweep \"{}\" has no case of the operations asked for", sweep->name)
            : fmt::format("no variant of these operations is called like \"{}\"; `normquant list` shows the names",
                          request.variant);
  return std::nullopt;
}

std::vector<PlannedCase> part_of(const std::vector<PlannedCase>& plan, const Shard& shard) {
  std::vector<PlannedCase> part;
  int cases = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (i > 0 && plan[i].timed != plan[i - 1].timed) ++cases;
    if (shard.holds(cases)) part.push_back(plan[i]);
  }
  return part;
}

}  // namespace normquant::bench
