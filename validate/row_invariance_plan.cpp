#include "validate/row_invariance_plan.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "validate/space/classes.hpp"
#include "validate/space/served.hpp"

namespace normquant::validate {
namespace {

/// A type of 16 bits counts as so many factors of two away: outputs in it hide most of what a sum's last bit changes.
constexpr double other_type = 4;

/// More than every distance in factors of two. Whether a layer's variant serves a case shows at its launch alone, and products of
/// codes (cuBLASLt) want rows that start at multiples of 16 bytes: of the layer's cases those that have them come first.
constexpr double may_not_be_served = 1000;

bool rows_start_at_multiples_of_16(const Problem& p) {
  return p.offset == 0 && p.row_padding % 16 == 0 && p.offsets.empty() && p.paddings.empty() && p.columns % 16 == 0 &&
         p.outputs() % 16 == 0;
}

struct Candidate {
  double away = 0;  ///< from telling_columns, in factors of two, and from float32
  std::size_t job = 0;
};

std::string group_of(const std::string& variant, const Problem& problem, Proofs proofs) {
  const std::string norm = is_layer(problem.op) || problem.norm == NormKind::rms ? " rms" : " layer";
  std::string start = std::string(name_of(problem.op)) + " " + variant + norm;
  if (proofs == Proofs::once_a_norm) return start;
  return start + " " + space::form_of(problem) + " " + std::string(name_of(problem.x));
}

}  // namespace

void ask_for_row_invariance(std::vector<Job>& jobs, const DeviceInfo& device, Proofs proofs) {
  std::map<Operation, space::Served> served;
  std::map<std::string, Candidate> best;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Problem& problem = jobs[i].subject.problem;
    if (problem.rows == 0 || (jobs[i].subject.gpu_only && device.kind == DeviceKind::host)) continue;
    const space::Served& all = served.try_emplace(problem.op, problem.op, device).first->second;
    const double away =
        std::abs(std::log2(static_cast<double>(problem.columns) / static_cast<double>(telling_columns))) +
        (problem.x == DType::float32 ? 0 : other_type) +
        (is_layer(problem.op) && !rows_start_at_multiples_of_16(problem) ? may_not_be_served : 0);
    for (std::size_t v = 0; v < all.variants().size(); ++v) {
      const VariantEntry& entry = all.variants()[v];
      const auto& asked = jobs[i].variants;
      if (!entry.row_invariant || std::find(asked.begin(), asked.end(), entry.name) == asked.end()) continue;
      const auto known = best.find(group_of(std::string(entry.name), problem, proofs));
      if ((known != best.end() && known->second.away <= away) || !all.by(v, problem)) continue;
      best[group_of(std::string(entry.name), problem, proofs)] = {away, i};
    }
  }
  for (const auto& [group, candidate] : best) {
    Job& job = jobs[candidate.job];
    const std::string rest = group.substr(group.find(' ') + 1);
    job.compare_rows.push_back(rest.substr(0, rest.find(' ')));
  }
}

void ask_for_row_invariance_everywhere(std::vector<Job>& jobs) {
  for (Job& job : jobs) job.compare_rows = job.variants;
}

}  // namespace normquant::validate
