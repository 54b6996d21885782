#include "bench/gate/unchanged.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <nlohmann/json.hpp>
#include <normquant/operations.hpp>

#include "bench/child_process.hpp"
#include "bench/gate/elf_file.hpp"
#include "output/words.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

CaseLaunches case_launches(const nlohmann::json& one) {
  CaseLaunches found;
  found.variant = one.at("variant").get<std::string>();
  for (const nlohmann::json& launch : one.at("launches")) {
    found.kernels.push_back(without_source_digits(launch.at("kernel").get<std::string>()));
    found.how += fmt::format("{} {} {} {}\n", launch.at("grid").dump(), launch.at("block").dump(),
                             launch.at("shared_bytes").dump(), launch.at("attributes").dump());
  }
  return found;
}

std::string text_or_empty(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// The folder of kernels/ that holds an operation's code. That of the layer's two operations is one.
std::string_view folder_of(Operation op) { return is_layer(op) ? "bit_linear" : name_of(op); }

/// Whether an object's host code can run in a case of `op` that launches these kernels. What stands in no operation's folder can
/// run in any; a layer calls the other operations, too.
bool takes_part(const ObjectCode& object, Operation op, const std::vector<std::string>& kernels) {
  const std::string_view name = object.name, folder = name.substr(0, std::min(name.find('/'), name.size()));
  const bool anothers = std::any_of(all_operations.begin(), all_operations.end(), [&](Operation other) {
    return folder == folder_of(other) && folder != folder_of(op);
  });
  if (anothers && !is_layer(op)) return false;
  if (object.kernels.empty()) return true;
  return std::any_of(kernels.begin(), kernels.end(), [&object](const std::string& kernel) {
    return std::binary_search(object.kernels.begin(), object.kernels.end(), kernel);
  });
}

/// The host code that takes part in the case, as names and digests; empty when a kernel is in no object.
std::set<std::string> host_code(const ProgramFacts& facts, Operation op, const CaseLaunches& launches) {
  std::set<std::string> code;
  std::size_t found = 0;
  for (const ObjectCode& object : facts.launch_code) {
    if (takes_part(object, op, launches.kernels)) code.insert(object.name + " " + object.digest);
  }
  for (const std::string& kernel : launches.kernels) {
    found += std::any_of(facts.launch_code.begin(), facts.launch_code.end(), [&kernel](const ObjectCode& object) {
      return std::binary_search(object.kernels.begin(), object.kernels.end(), kernel);
    });
  }
  return found == launches.kernels.size() ? code : std::set<std::string>{};
}

bool same_kernels(const ProgramFacts& baseline, const ProgramFacts& candidate,
                  const std::vector<std::string>& kernels) {
  return std::all_of(kernels.begin(), kernels.end(), [&](const std::string& kernel) {
    const auto before = baseline.machine_code.find(kernel), after = candidate.machine_code.find(kernel);
    return before != baseline.machine_code.end() && after != candidate.machine_code.end() &&
           before->second.digest == after->second.digest &&
           runs_on(before->second.architectures, baseline.compute_capability);
  });
}

}  // namespace

std::optional<ProgramFacts> parse_launches(const std::string& text, std::string& why) {
  try {
    const nlohmann::json answer = nlohmann::json::parse(text);
    if (answer.at("kind") != "launches" || answer.at("schema") != 1) {
      why = "it is no answer of `normquant launches` that this version can read";
      return std::nullopt;
    }
    ProgramFacts facts;
    const nlohmann::json& gpu = answer.at("environment").at("gpu");
    facts.compute_capability = text_or_empty(gpu, "compute_capability");
    facts.cuda_runtime = text_or_empty(gpu, "cuda_runtime");
    for (const nlohmann::json& object : answer.at("launch_code")) {
      facts.launch_code.push_back({object.at("object").get<std::string>(), object.at("digest").get<std::string>(),
                                   object.at("kernels").get<std::vector<std::string>>()});
      std::sort(facts.launch_code.back().kernels.begin(), facts.launch_code.back().kernels.end());
    }
    for (const nlohmann::json& one : answer.at("cases")) {
      if (one.contains("launches") && !one.contains("why_not")) {
        facts.cases[one.at("case").get<std::string>()] = case_launches(one);
      }
    }
    return facts;
  } catch (const nlohmann::json::exception& error) {
    why = output::json_trouble(error);
    return std::nullopt;
  }
}

std::optional<ProgramFacts> facts_of(const std::string& program, const std::string& device, const std::string& variant,
                                     const std::string& sweep_file, const std::string& folder, std::string& why) {
  // cuobjdump first: without it there is nothing to ask the programs for.
  std::optional<MachineCode> code = machine_code_of(program, folder + "/images", why);
  if (!code) return std::nullopt;
  bench::ChildRequest request;
  const std::string printed = folder + "/launches.json", errors = folder + "/launches.txt";
  request.arguments = {
      "/bin/sh", "-c",       "exec \"$1\" launches --device \"$2\" --variant \"$3\" --sweep \"$4\" >\"$5\"",
      "sh",      program,    device,
      variant,   sweep_file, printed};
  request.environment = {"CUDA_MODULE_LOADING=LAZY"};
  request.output = errors;
  request.seconds = 300;
  const auto end = bench::run_child(request, why);
  if (!end) return std::nullopt;
  if (end->status != 0) {
    why = fmt::format(
        "`{} launches` ended with status {}; programs built before there was this command cannot say which "
        "kernels they launch",
        program, end->status);
    return std::nullopt;
  }
  std::optional<ProgramFacts> facts = parse_launches(reports::read_whole(printed).value_or(""), why);
  if (!facts) {
    why = fmt::format("what `{} launches` printed: {}", program, why);
    return std::nullopt;
  }
  facts->machine_code = std::move(*code);
  return facts;
}

std::set<std::string> unchanged_cases(const ProgramFacts& baseline, const ProgramFacts& candidate) {
  std::set<std::string> unchanged;
  if (baseline.cuda_runtime != candidate.cuda_runtime || baseline.compute_capability != candidate.compute_capability) {
    return unchanged;
  }
  for (const auto& [name, after] : candidate.cases) {
    const auto found = baseline.cases.find(name);
    if (found == baseline.cases.end() || after.kernels.empty()) continue;
    const CaseLaunches& before = found->second;
    if (before.variant != after.variant || before.kernels != after.kernels || before.how != after.how) continue;
    if (!same_kernels(baseline, candidate, after.kernels)) continue;
    const std::optional<Operation> op = operation_named(name.substr(0, name.find(' ')));
    if (!op) continue;  // of a program that knows more
    const std::set<std::string> host = host_code(candidate, *op, after);
    if (!host.empty() && host == host_code(baseline, *op, before)) unchanged.insert(name);
  }
  return unchanged;
}

}  // namespace normquant::gate
