#include "validate/earlier_results.hpp"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <nlohmann/json.hpp>

#include "output/words.hpp"
#include "validate/result_entries.hpp"
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

}  // namespace

RunIdentity identity_of(const std::vector<std::string>& plugins, std::uint64_t schedule_seed, bool warm,
                        bool after_others) {
  std::vector<std::string> files = {"/proc/self/exe"};
  files.insert(files.end(), plugins.begin(), plugins.end());
  return {fingerprint(files), schedule_seed, warm, after_others};
}

RunIdentity run_identity_from_json(const json& document) {
  if (!document.at("schedule_seed").is_number_unsigned()) throw std::invalid_argument("its schedule_seed is no seed");
  return {document.at("program").get<std::string>(), document.at("schedule_seed").get<std::uint64_t>(),
          document.at("warm").get<bool>(), document.at("after_others").get<bool>()};
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
    if (run_identity_from_json(document.at("run")) != run) {
      why = fmt::format(
          "{} is of another build, other plugins or other switches, and is left as it is; give another "
          "--json, or --force without --resume",
          path);
      return std::nullopt;
    }
    for (CaseResult& result : results_in(document, run.schedule_seed)) {
      if (result.verdict.outcome != Outcome::error) earlier.add(std::move(result));
    }
    return earlier;
  } catch (const std::exception& error) {
    why =
        fmt::format("{} is no file of `normquant validate --json` that can be gone on with, and is left as it is ({})",
                    path, output::json_trouble(error));
    return std::nullopt;
  }
}

}  // namespace normquant::validate
