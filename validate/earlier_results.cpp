#include "validate/earlier_results.hpp"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <nlohmann/json.hpp>

#include "output/words.hpp"
#include "validate/result_files.hpp"

namespace normquant::validate {
namespace {

using nlohmann::json;

/// FNV-1a of what the files hold: not a seal, only whether a build is the same.
std::string fingerprint(const std::vector<std::string>& files) {
  std::uint64_t hash = 14695981039346656037U;
  std::array<char, 1 << 16> block{};
  for (const std::string& path : files) {
    std::ifstream file(path, std::ios::binary);
    do {
      file.read(block.data(), block.size());
      for (std::streamsize i = 0; i < file.gcount(); ++i) {
        hash = (hash ^ static_cast<unsigned char>(block[static_cast<std::size_t>(i)])) * 1099511628211U;
      }
    } while (file);
  }
  return fmt::format("{:016x}", hash);
}

std::string key_of(const std::string& device, const std::string& variant, const Problem& problem) {
  return fmt::format("{}\n{}\n{}", device, variant, to_text(problem));
}

/// Device, variant and problem of an entry; throws what nlohmann's at() and get() throw, or std::invalid_argument.
CaseResult result_of(const json& entry, const RunIdentity& run) {
  std::string why;
  const auto problem = parse_problem(entry.at("problem").get<std::string>(), why);
  if (!problem) throw std::invalid_argument(why);
  CaseResult result{entry.at("device").get<std::string>(),
                    entry.at("variant").get<std::string>(),
                    *problem,
                    {},
                    {},
                    run.schedule_seed};
  result.card = entry.value("card", "");
  return result;
}

/// An entry of "cases": what was checked, and how near it came to its bounds.
void add_case(const json& entry, const RunIdentity& run, EarlierResults& earlier) {
  CaseResult result = result_of(entry, run);
  Verdict& v = result.verdict;
  v.elements_checked = entry.at("elements_checked").get<std::int64_t>();
  v.codes_checked = entry.at("codes_checked").get<std::int64_t>();
  v.codes_ambiguous = entry.at("codes_ambiguous").get<std::int64_t>();
  v.codes_on_ties = entry.at("codes_on_ties").get<std::int64_t>();
  v.worst_error_over_bound = entry.at("worst_error_over_bound").is_null()
                                 ? std::numeric_limits<double>::infinity()
                                 : entry.at("worst_error_over_bound").get<double>();
  v.worst_tensor = entry.at("worst_tensor").get<std::string>();
  v.watched = entry.value("watched", false);
  result.seconds = entry.value("seconds", 0.0);
  earlier.add(std::move(result));
}

/// An entry of "results": what is no pass; of an error nothing is kept.
void add_result(const json& entry, const RunIdentity& run, EarlierResults& earlier) {
  CaseResult result = result_of(entry, run);
  const auto outcome = outcome_named(entry.at("outcome").get<std::string>());
  if (!outcome || *outcome == Outcome::pass) throw std::invalid_argument("it has an unknown outcome");
  if (*outcome == Outcome::error) return;
  if (const CaseResult* checked = earlier.find(result.device, result.variant, result.problem)) result = *checked;
  Verdict& v = result.verdict;
  v.outcome = *outcome;
  v.reason = entry.at("reason").get<std::string>();
  v.for_other_devices = entry.value("for_other_devices", false);
  v.watched = entry.value("watched", v.watched);
  v.elements_wrong = entry.value("elements_wrong", std::int64_t{0});
  v.findings = entry.value("findings", std::vector<std::string>());
  for (const json& m : entry.value("mismatches", json::array())) {
    v.mismatches.push_back({m.at("tensor"), m.at("row"), m.at("column"), m.at("expected"), m.at("actual")});
  }
  earlier.add(std::move(result));
}

}  // namespace

RunIdentity identity_of(const std::vector<std::string>& plugins, std::uint64_t schedule_seed, bool warm,
                        bool after_others) {
  std::vector<std::string> files = {"/proc/self/exe"};
  files.insert(files.end(), plugins.begin(), plugins.end());
  return {fingerprint(files), schedule_seed, warm, after_others};
}

void EarlierResults::add(CaseResult result) {
  const std::string key = key_of(result.device, result.variant, result.problem);
  results_.insert_or_assign(key, std::move(result));
}

const CaseResult* EarlierResults::find(const std::string& device, const std::string& variant,
                                       const Problem& problem) const {
  const auto found = results_.find(key_of(device, variant, problem));
  return found == results_.end() ? nullptr : &found->second;
}

std::optional<EarlierResults> read_earlier_results(const std::string& path, const RunIdentity& run, std::string& why) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EarlierResults earlier;
  if (content.empty()) return earlier;
  try {
    const json document = json::parse(content);
    if (document.at("schema") != results_schema) throw std::invalid_argument("it is of another kind or version");
    const json& of = document.at("run");
    const RunIdentity before{of.at("program"), of.at("schedule_seed"), of.at("warm"), of.at("after_others")};
    if (before != run) {
      why = fmt::format(
          "{} is of another build, other plugins or other switches, and is left as it is; give another "
          "--json, or --force without --resume",
          path);
      return std::nullopt;
    }
    for (const json& entry : document.at("cases")) add_case(entry, run, earlier);
    for (const json& entry : document.at("results")) add_result(entry, run, earlier);
    return earlier;
  } catch (const std::exception& error) {
    why =
        fmt::format("{} is no file of `normquant validate --json` that can be gone on with, and is left as it is ({})",
                    path, output::json_trouble(error));
    return std::nullopt;
  }
}

}  // namespace normquant::validate
