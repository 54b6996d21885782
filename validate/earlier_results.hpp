// What an interrupted validation has found already, read back from the file of its --json, so that it goes on there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

#include "validate/run.hpp"

namespace normquant::validate {

/// What results depend on beside device, variant and problem: only those of an equal run are taken over.
struct RunIdentity {
  std::string program;  ///< of this executable and of the plugins: another build is another program
  std::uint64_t schedule_seed = 1;
  bool warm = false, after_others = false;
  bool operator==(const RunIdentity&) const = default;
};

/// Of this program with these plugins.
RunIdentity identity_of(const std::vector<std::string>& plugins, std::uint64_t schedule_seed, bool warm,
                        bool after_others);

/// Of the "run" of a file. Throws what nlohmann's at() and get() throw, or std::invalid_argument.
RunIdentity run_identity_from_json(const nlohmann::json& document);

/// Results by device, variant and problem.
class EarlierResults {
 public:
  void add(CaseResult result);
  /// Null when there is none.
  const CaseResult* find(const std::string& device, const std::string& variant, const Problem& problem) const;
  std::size_t size() const { return results_.size(); }

 private:
  std::map<std::string, CaseResult> results_;
};

/// Reads a file of as_json. Results that ended in an error are left out: they are to be run again. A file that is absent or
/// empty has none. Nothing, and a sentence in `why`, when it is something else or of another run.
std::optional<EarlierResults> read_earlier_results(const std::string& path, const RunIdentity& run, std::string& why);

}  // namespace normquant::validate
