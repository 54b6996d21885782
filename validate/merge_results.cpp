#include "validate/merge_results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <new>
#include <set>
#include <stdexcept>
#include <utility>
#include <nlohmann/json.hpp>

#include "output/words.hpp"
#include "validate/result_entries.hpp"
#include "validate/result_files.hpp"
#include "validate/shard_set.hpp"
#include "validate/summary.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

struct Unmergeable {
  std::string sentence;
};

/// One file.
struct ShardResults {
  std::string path;
  RunIdentity run;
  RunPlan plan;
  Shard shard;
  std::string left_out;
  std::vector<CaseResult> results;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) throw Unmergeable{"cannot read " + path};
  return content;
}

/// Who edits a file, or cuts entries out of it, leaves a summary that its entries do not have.
void refuse_another_summary(const json& summary, const std::vector<CaseResult>& results) {
  const Totals all = totals(summarise(results));
  const std::pair<const char*, std::int64_t> counts[] = {{"passed", all.passed},
                                                         {"failed", all.failed},
                                                         {"skipped", all.skipped},
                                                         {"errors", all.errors},
                                                         {"elements_checked", all.elements}};
  for (const auto& [name, count] : counts) {
    const std::int64_t said = count_in(summary, name, std::numeric_limits<std::int64_t>::max());
    if (said == count) continue;
    throw std::invalid_argument(
        fmt::format("its summary says {} \"{}\", and its entries come to {}", said, name, count));
  }
}

ShardResults results_of(const std::string& path) {
  ShardResults file;
  file.path = path;
  try {
    const json document = json::parse(content_of(path));
    if (document.at("schema") != results_schema) throw std::invalid_argument("it is of another kind or version");
    std::string why;
    const bool planned = document.contains("plan") && document.contains("run");
    if (planned) file.plan = run_plan_from_json(document.at("plan"));
    const auto shard = planned ? parse_shard(file.plan.shard, why) : std::optional<Shard>();
    if (!shard)
      throw Unmergeable{path + ": this is not the file of a shard (normquant validate --shard I/N --json FILE)"};
    file.shard = *shard;
    file.run = run_identity_from_json(document.at("run"));
    file.results = results_in(document, file.run.schedule_seed);
    const json& summary = document.at("summary");
    refuse_another_summary(summary, file.results);
    file.left_out = summary.at("left_out").get<std::string>();
    return file;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Unmergeable{
        fmt::format("{} is no file of `normquant validate --json` ({})", path, output::json_trouble(error))};
  }
}

/// A difference between two shards, and what --allow calls it.
struct Difference {
  std::string name, clause;
};

/// Of objects by field; devices of one kind are one.
std::vector<Difference> plan_differences(const RunPlan& before, const RunPlan& now) {
  json was = to_json(before), is = to_json(now);
  std::vector<Difference> differences;
  for (json* plan : {&was, &is}) {
    plan->erase("shard");
    plan->erase("cases");
    plan->erase("cases_of_shards");  // follows from the others, and is compared behind them
    for (json& device : plan->at("devices")) device.erase("name");
  }
  for (const auto& [name, value] : was.items()) {
    if (is.at(name) == value) continue;
    const auto text = [&](const json& of) { return of.dump(-1, ' ', false, json::error_handler_t::replace); };
    differences.push_back({name, fmt::format("\"plan/{}\" was {} and is {}", name, text(value), text(is.at(name)))});
  }
  return differences;
}

std::vector<Difference> differences_of(const ShardResults& before, const ShardResults& now) {
  std::vector<Difference> differences = plan_differences(before.plan, now.plan);
  const auto compare = [&](const char* name, const auto& was, const auto& is) {
    if (was != is) differences.push_back({name, fmt::format("\"{}\" was {} and is {}", name, was, is)});
  };
  compare("plan/cases_of_shards", before.plan.cases_of_shards, now.plan.cases_of_shards);
  compare("schedule_seed", before.run.schedule_seed, now.run.schedule_seed);
  compare("warm", before.run.warm, now.run.warm);
  compare("after_others", before.run.after_others, now.run.after_others);
  compare("left_out", before.left_out, now.left_out);
  if (before.plan.commit == now.plan.commit && before.run.program != now.run.program) {
    differences.push_back({"build", fmt::format("the program or its plugins were another build ({} and {})",
                                                before.run.program, now.run.program)});
  }
  return differences;
}

void refuse_differences(const ShardResults& first, const ShardResults& now, const std::vector<std::string>& allowed) {
  const std::vector<std::string> allowable = allowable_result_differences();
  for (const Difference& one : differences_of(first, now)) {
    if (std::find(allowed.begin(), allowed.end(), one.name) != allowed.end()) continue;
    const bool may = std::find(allowable.begin(), allowable.end(), one.name) != allowable.end();
    throw Unmergeable{fmt::format("{}: {} (in {} before), so these are not shards of one run{}", now.path, one.clause,
                                  first.path,
                                  may ? fmt::format("; --allow {} takes them all the same", one.name) : "")};
  }
}

/// One GPU of the kind is called cuda:0 on one machine and cuda:1 on another: all are called as in the first file.
void rename_devices(const RunPlan& first, ShardResults& file) {
  for (CaseResult& result : file.results) {
    const auto& own = file.plan.devices;
    const auto found = std::find_if(own.begin(), own.end(), [&](const auto& one) { return one.name == result.device; });
    if (found == own.end()) {
      throw Unmergeable{fmt::format("{}: the case {} ran on {}, which its plan does not name", file.path, result.index,
                                    result.device)};
    }
    result.device = first.devices[static_cast<std::size_t>(found - own.begin())].name;
  }
}

class Merger {
 public:
  explicit Merger(const std::vector<std::string>& allowed) : allowed_(allowed) {}

  void take(ShardResults file) {
    if (!begun_) {
      merged_.plan = file.plan;
      first_ = {file.path, file.run, file.plan, file.shard, file.left_out, {}};
      begun_ = true;
    }
    refuse_differences(first_, file, allowed_);
    if (std::string why = shards_.add(file.shard, file.path, file.path, file.plan.cases); !why.empty()) {
      throw Unmergeable{why};
    }
    const auto found = static_cast<std::int64_t>(file.results.size());
    if (found < file.plan.cases) {
      shards_.did_not_end(file.shard, file.path, fmt::format("{} of {} cases", found, file.plan.cases));
    }
    rename_devices(first_.plan, file);
    note_places(file);
    commits_.insert(file.plan.commit);
    programs_.insert(file.run.program);
    std::move(file.results.begin(), file.results.end(), std::back_inserter(merged_.results));
  }

  MergedResults all() {
    const auto found = static_cast<std::int64_t>(merged_.results.size());
    if (std::string missing = shards_.missing(found); !missing.empty()) throw Unmergeable{missing};
    if (found != first_.plan.cases_of_shards) {
      throw Unmergeable{fmt::format("{} cases are there, and all shards were planned to have {}", found,
                                    first_.plan.cases_of_shards)};
    }
    std::sort(merged_.results.begin(), merged_.results.end(),
              [](const CaseResult& a, const CaseResult& b) { return a.index < b.index; });
    merged_.run = first_.run;
    if (programs_.size() > 1) merged_.run.program.clear();
    merged_.plan.commit = fmt::format("{}", fmt::join(commits_, ", "));
    merged_.plan.shard.clear();
    merged_.plan.cases = found;
    merged_.left_out = first_.left_out;
    return std::move(merged_);
  }

 private:
  void note_places(const ShardResults& file) {
    for (const CaseResult& result : file.results) {
      if (result.index < 0 || result.index >= file.plan.cases_of_shards) {
        throw Unmergeable{
            fmt::format("{}: a case has the place {} of {}", file.path, result.index, file.plan.cases_of_shards)};
      }
      if (!places_.insert(result.index).second) {
        throw Unmergeable{fmt::format("{}: the case {} ({} on {}) is there twice", file.path, result.index,
                                      to_text(result.problem), result.variant)};
      }
    }
  }

  const std::vector<std::string>& allowed_;
  bool begun_ = false;
  ShardResults first_;  ///< without its results
  ShardSet shards_;
  MergedResults merged_;
  std::set<std::int64_t> places_;
  std::set<std::string> commits_, programs_;
};

}  // namespace

std::vector<std::string> allowable_result_differences() { return {"commit", "build", "driver"}; }

std::optional<MergedResults> merge_results(const std::vector<std::string>& files,
                                           const std::vector<std::string>& allowed, std::string& why) {
  try {
    Merger merger(allowed);
    for (const std::string& path : files) merger.take(results_of(path));
    return merger.all();
  } catch (const Unmergeable& found) {
    why = found.sentence;
    return std::nullopt;
  }
}

}  // namespace normquant::validate
