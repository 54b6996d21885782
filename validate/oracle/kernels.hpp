// What checking the library's own variants over and over says about the checks: false alarms, ambiguity, tightness.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "validate/oracle/tightness.hpp"
#include "validate/run.hpp"
#include "validate/suite.hpp"
#include "validate/summary.hpp"

namespace normquant::oracle {

/// Codes of random values in cases of one operation and type of x.
struct Ambiguity {
  std::int64_t codes = 0, ambiguous = 0;
  std::int64_t on_ties = 0;  ///< of the ambiguous ones, see validate::Verdict
  validate::DistinctCodes distinct;
  double share() const { return codes == 0 ? 0 : static_cast<double>(ambiguous) / static_cast<double>(codes); }
  /// Of those that a tighter bound would decide.
  double loose_share() const {
    return codes == 0 ? 0 : static_cast<double>(ambiguous - on_ties) / static_cast<double>(codes);
  }
  bool too_loose() const { return validate::too_many_ambiguous(codes, ambiguous - on_ties, distinct.count()); }
};

struct KernelFindings {
  std::uint64_t first_seed = 0, seeds = 0;  ///< how many suites
  std::int64_t checks = 0, skipped = 0, errors = 0, elements = 0;
  std::vector<validate::CaseResult> alarms;  ///< results called wrong or that failed: false alarms, or bugs
  std::map<std::pair<std::string, std::string>, Ambiguity> ambiguity;  ///< by operation, type of x
  std::vector<Nearest> nearest;                                        ///< float32 outputs of cases with random values
};

struct KernelQuestion {
  std::vector<validate::DeviceChoice> devices;
  std::vector<Operation> operations;
  validate::SuiteSize suite = validate::SuiteSize::smoke;
  std::uint64_t first_seed = 1;
  std::int64_t elements = 0;  ///< suites are begun until so many were checked
  double seconds = 0;         ///< or so much time has passed; 0: no limit
  int threads = 1;
  std::function<void(const KernelFindings&)> progress;  ///< after every suite
};

/// Runs suite after suite, each with the next seed, on all variants.
KernelFindings ask_kernels(const KernelQuestion& question);

}  // namespace normquant::oracle
