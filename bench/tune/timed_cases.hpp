// Records as tuning sees them: per problem, how long each variant took.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/choice/point.hpp"
#include "reports/records.hpp"
#include "validate/problem.hpp"

namespace normquant::tune {

/// The variants that `auto` may take, simplest first: those that are deterministic, in table order.
using Candidates = std::function<std::vector<std::string>(Operation)>;
Candidates candidates_of_this_build();

struct VariantTime {
  std::string variant;
  double median_us = 0;
  double spread = 0;  ///< (q3 - q1) / median
};

/// One problem, on one device.
struct TimedCase {
  choice::Point point;
  std::string text;                ///< for people
  std::string auto_variant;        ///< what `auto` stood for when it was timed
  std::vector<VariantTime> times;  ///< of the candidates that passed, simplest first; not empty
  validate::Problem problem = {};
};

/// The device that all records are of.
struct TimedDevice {
  std::string name;
  int compute_capability = 0;  ///< 10 * major + minor; 0: not recorded
  int sm_count = 0;
  std::string time_kind;  ///< "steady" or "cpu_execution"
  std::string about;      ///< commit, driver and date, for the table's head
  bool operator==(const TimedDevice& other) const { return name == other.name && time_kind == other.time_kind; }
};

/// Nothing, and a sentence in `why`, when the records are of several devices or of none.
std::optional<TimedDevice> device_of(const reports::RecordSet& records, std::string& why);

/// The cases of which a candidate passed, in file order. What is left out is said in `notes`: variants that are no
/// candidates (for `auto`, silently), and a second case at the same point.
std::vector<TimedCase> timed_cases(const reports::RecordSet& records, const Candidates& candidates,
                                   std::vector<std::string>& notes);

}  // namespace normquant::tune
