#include "app/validate_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <regex>

#include "exit_status.hpp"
#include "output/did_you_mean.hpp"
#include "refusal.hpp"
#include "validate/devices.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/repetition.hpp"
#include "validate/row_invariance_plan.hpp"
#include "validate/shard.hpp"
#include "validate/suite.hpp"

namespace normquant::validate {
namespace {

std::vector<DType> chosen_types(const ValidateOptions& options) {
  std::vector<DType> types;
  for (const std::string& name : options.dtypes) {
    const auto type = dtype_named(name);
    if (!type) {
      throw Refusal{exit_usage, fmt::format("there is no type '{}'; there are float32, float16 and bfloat16{}", name,
                                            output::did_you_mean(name, {"float32", "float16", "bfloat16"}))};
    }
    types.push_back(*type);
  }
  return types;
}

/// Of the shapes those that the operation has: MxN, or MxK_inxK_out for the layer. One that was named must have some.
std::vector<Shape> shapes_for(Operation op, const std::vector<Shape>& shapes, const ValidateOptions& options) {
  std::vector<Shape> own;
  for (const Shape& shape : shapes) {
    if (is_layer(op) == (shape.k_out > 0)) own.push_back(shape);
  }
  if (own.empty() && !shapes.empty() && !options.ops.empty()) {
    throw Refusal{exit_usage,
                  fmt::format("{} has shapes {}, as in {}; none is given", name_of(op),
                              is_layer(op) ? "MxK_inxK_out" : "MxN", is_layer(op) ? "16x4096x4096" : "16x4096")};
  }
  return own;
}

/// Of --case: a problem that asks for nothing, and other options that say something else.
void refuse_as_case(const Problem& p, const ValidateOptions& options) {
  const bool weights = p.op == Operation::weight_quant;
  const bool quantises = weights || p.op == Operation::norm_quant_forward || p.op == Operation::activation_quant;
  if (quantises && !p.out && !p.codes && !(weights && p.packed)) {
    throw Refusal{exit_usage, fmt::format("--case '{}' asks for no output; add out=bfloat16 or codes=1{}", to_text(p),
                                          weights ? " or packed=1" : "")};
  }
  if (!options.shapes.empty() || !options.dtypes.empty()) {
    throw Refusal{exit_usage, "--case names its own shape and types; leave --shape and --dtype out"};
  }
  const std::vector<Operation> ops = chosen_operations(options);
  if (std::find(ops.begin(), ops.end(), p.op) == ops.end()) {
    throw Refusal{exit_usage, fmt::format("--case is a problem of {}, and --op asks for others", name_of(p.op))};
  }
}

std::vector<Case> chosen_cases(const ValidateOptions& options, const DeviceInfo& device, std::string& left_out) {
  std::string why;
  std::vector<Case> cases;
  for (const std::string& text : options.cases) {
    const auto problem = parse_problem(text, why);
    if (!problem) throw Refusal{exit_usage, why};
    refuse_as_case(*problem, options);
    cases.push_back({*problem, distinct_rows(*problem), false});
  }
  if (!cases.empty()) return cases;

  std::vector<Shape> shapes;
  for (const std::string& text : options.shapes) {
    const auto shape = parse_any_shape(text, why);
    if (!shape) throw Refusal{exit_usage, why};
    shapes.push_back(*shape);
  }
  const SuiteSize suite = chosen_suite(options);
  const std::vector<DType> types = chosen_types(options);
  for (Operation op : chosen_operations(options)) {
    const std::vector<Shape> own = shapes_for(op, shapes, options);
    if (own.empty() && !shapes.empty()) {
      left_out += fmt::format("{}left out: {}, whose shapes are {}", left_out.empty() ? "" : "\n", name_of(op),
                              is_layer(op) ? "MxK_inxK_out" : "MxN");
      continue;
    }
    for (const Case& c : suite_cases(op, suite, options.seed, own, &device)) {
      if (types.empty() || std::find(types.begin(), types.end(), c.problem.x) != types.end()) cases.push_back(c);
    }
  }
  return cases;
}

DeviceInfo info_of(const DeviceChoice& choice) {
  std::string why;
  const auto device = choice.open(1, why);
  if (device == nullptr) throw Refusal{exit_infrastructure, why};
  return device->info();
}

/// Suites are drawn for a kind of device.
void refuse_different_kinds(const std::vector<ListedDevice>& cards) {
  const std::string first = info_of(cards.front().choice).name;
  for (const ListedDevice& card : cards) {
    const std::string name = info_of(card.choice).name;
    if (name == first) continue;
    throw Refusal{exit_usage, fmt::format("{} is {} and {} is {}; name those of one kind, as cuda:0,2",
                                          cards.front().name(), first, card.name(), name)};
  }
}

/// Of the operations and devices that were asked for.
std::vector<std::string> variant_names(const Plan& plan) {
  std::vector<std::string> names = {"auto", "invariant"};
  for (const Plan::OnDevice& device : plan.devices) {
    for (std::size_t i = 0; i < device.cases.size(); ++i) {
      const Operation op = device.cases[i].problem.op;
      if (i > 0 && op == device.cases[i - 1].problem.op) continue;
      for (const VariantEntry& v : catalogue(op, device.choice.kind)) names.emplace_back(v.name);
    }
  }
  return names;
}

std::vector<Job> jobs_of(const Plan& plan, const ValidateOptions& options) {
  const std::string& pattern = options.variant;
  std::regex wanted;
  try {
    wanted = std::regex(pattern.empty() ? ".*" : pattern);
  } catch (const std::regex_error&) {
    throw Refusal{exit_usage, fmt::format("'{}' is not a regular expression", pattern)};
  }
  std::vector<Job> jobs;
  for (const Plan::OnDevice& device : plan.devices) {
    for (const Case& c : device.cases) {
      Job job{device.choice, c, {}, options.schedule_seed};
      for (const VariantEntry& v : catalogue(c.problem.op, device.choice.kind)) {
        if (is_for(c, v.name) && std::regex_search(v.name.begin(), v.name.end(), wanted)) {
          job.variants.emplace_back(v.name);
        }
      }
      if (pattern == "auto" || pattern == "invariant") job.variants = {pattern};
      if (!job.variants.empty()) jobs.push_back(job);
    }
  }
  if (jobs.empty()) {
    throw Refusal{exit_usage, fmt::format("nothing matched: no variant is called like '{}' (try normquant list){}",
                                          pattern, output::did_you_mean(pattern, variant_names(plan)))};
  }
  return jobs;
}

/// Device by device, since each has its own variants.
void ask_for_proofs(const Plan& plan, std::vector<Job>& jobs, Proofs proofs) {
  for (const Plan::OnDevice& device : plan.devices) {
    const auto of_device = [&](const Job& job) { return job.device.name() == device.choice.name(); };
    const auto first = std::find_if(jobs.begin(), jobs.end(), of_device);
    const auto last = std::find_if_not(first, jobs.end(), of_device);
    std::vector<Job> own(std::make_move_iterator(first), std::make_move_iterator(last));
    ask_for_row_invariance(own, device.info, proofs);
    std::move(own.begin(), own.end(), first);
  }
}

/// The jobs of --shard.
std::vector<Job> part_of(std::vector<Job> jobs, const std::string& text) {
  if (text.empty()) return jobs;
  std::string why;
  const auto shard = parse_shard(text, why);
  if (!shard) throw Refusal{exit_usage, why};
  std::vector<Job> part;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (shard->holds(static_cast<long long>(i))) part.push_back(std::move(jobs[i]));
  }
  return part;  // may be empty: there are more shards than cases
}

}  // namespace

std::vector<Operation> chosen_operations(const ValidateOptions& options) {
  if (options.ops.empty()) return {std::begin(all_operations), std::end(all_operations)};
  std::vector<Operation> chosen;
  for (const std::string& name : options.ops) {
    const std::vector<Operation> named = operations_named(name);
    if (named.empty()) {
      throw Refusal{exit_usage, fmt::format("there is no operation '{}'; there are {}{}", name, known_operations,
                                            output::did_you_mean(name, operation_names()))};
    }
    chosen.insert(chosen.end(), named.begin(), named.end());
  }
  return chosen;
}

SuiteSize chosen_suite(const ValidateOptions& options) {
  if (const auto suite = suite_named(options.suite)) return *suite;
  throw Refusal{exit_usage,
                fmt::format("there is no suite '{}'; there are smoke, standard and exhaustive{}", options.suite,
                            output::did_you_mean(options.suite, {"smoke", "standard", "exhaustive"}))};
}

std::int64_t cases_of(const std::vector<Job>& jobs) {
  std::int64_t cases = 0;
  for (const Job& job : jobs) cases += static_cast<std::int64_t>(job.variants.size());
  return cases;
}

Plan plan_of(const ValidateOptions& options) {
  Plan plan;
  DeviceSelection selection;
  if (const auto listed = listed_devices(options.device, options.require_gpu)) {
    plan.cards = *listed;
    refuse_different_kinds(plan.cards);
    selection.devices = {{plan.cards.front().choice.kind, DeviceChoice::any_of_list}};
  } else {
    selection = select_devices(options.device, options.require_gpu);
  }
  if (selection.exit_status != 0) throw Refusal{selection.exit_status, selection.why};
  plan.left_out = selection.left_out;
  for (const DeviceChoice& choice : selection.devices) {
    const DeviceInfo info = info_of(plan.cards.empty() ? choice : plan.cards.front().choice);
    plan.of_other_shapes.clear();  // the same on every device
    std::vector<Case> cases = chosen_cases(options, info, plan.of_other_shapes);
    // A case list that was asked for by shape repeats rows when it is large, as the suites' large cases do.
    for (Case& c : cases) {
      c.after_others = c.after_others || options.after_others;
      if (c.problem.rows * c.problem.columns > (1 << 20)) c.distinct_rows = distinct_rows(c.problem);
    }
    plan.devices.push_back({choice, info, std::move(cases)});
  }
  std::vector<Job> jobs = jobs_of(plan, options);
  if (!options.cases.empty() || options.variant == "invariant") {
    ask_for_row_invariance_everywhere(jobs);
  } else {
    const bool suite = options.shapes.empty() && chosen_suite(options) != SuiteSize::smoke;
    ask_for_proofs(plan, jobs, suite ? Proofs::once_a_form_and_type : Proofs::once_a_norm);
  }
  for (Job& job : jobs) {
    job.index = plan.cases_of_shards;
    plan.cases_of_shards += static_cast<std::int64_t>(job.variants.size());
  }
  plan.jobs = part_of(std::move(jobs), options.shard);
  return plan;
}

}  // namespace normquant::validate
