#include "validate/oracle/kernels.hpp"

#include <chrono>

#include "validate/operations/prepared_problem.hpp"

namespace normquant::oracle {
namespace {

using validate::CaseResult;
using validate::Outcome;
using validate::Problem;
using validate::Values;

bool has_random_values(const Problem& p) { return p.values == Values::normal || p.values == Values::outlier_columns; }

/// Whether the tensor is float32 in this problem: rounding to 16 bits hides how near an evaluation came to its bound.
bool is_float32(const Problem& p, const std::string& tensor) {
  if (tensor == "dx") return p.dx.value_or(p.x) == DType::float32;
  if (tensor == "dx_residual") return p.dx_residual == DType::float32;
  if (tensor == "dweight") return p.weight == DType::float32;
  if (tensor == "dbias") return p.bias == DType::float32;
  if (tensor == "out") return p.out == DType::float32;
  return tensor == "mean" || tensor == "rstd" || tensor == "quant_scale" || tensor == "dequant_scale" ||
         tensor == "dequant_factor";
}

void add(const CaseResult& result, KernelFindings& findings) {
  const validate::Verdict& v = result.verdict;
  switch (v.outcome) {
    case Outcome::skipped: ++findings.skipped; return;
    case Outcome::error:
      ++findings.errors;
      findings.alarms.push_back(result);
      return;
    case Outcome::hazard:
    case Outcome::wrong: findings.alarms.push_back(result); break;
    case Outcome::pass: break;
  }
  ++findings.checks;
  findings.elements += v.elements_checked;
  const Problem& p = result.problem;
  if (!has_random_values(p)) return;
  if (v.codes_checked > 0) {
    Ambiguity& own = findings.ambiguity[{std::string(name_of(p.op)), std::string(name_of(p.x))}];
    own.codes += v.codes_checked;
    own.ambiguous += v.codes_ambiguous;
    own.on_ties += v.codes_on_ties;
    own.distinct.add(p, v.codes_checked);
  }
  if (is_layer(p.op)) return;
  for (const validate::TensorScore& score : v.tensors) {
    if (!is_float32(p, score.tensor)) continue;
    findings.nearest.push_back(
        {p.op, score.tensor, "", p.columns, score.worst_error_over_bound, result.variant, score.checked, score.wrong});
  }
}

std::vector<validate::Job> jobs_of(const KernelQuestion& question, std::uint64_t seed) {
  std::vector<validate::Job> jobs;
  for (const validate::DeviceChoice& device : question.devices) {
    for (Operation op : question.operations) {
      for (const validate::Case& subject : suite_cases(op, question.suite, seed, {})) {
        validate::Job job{device, subject, {}};
        for (const auto& entry : validate::catalogue(op, device.kind)) {
          if (is_for(subject, entry.name)) job.variants.emplace_back(entry.name);
        }
        jobs.push_back(std::move(job));
      }
    }
  }
  return jobs;
}

}  // namespace

KernelFindings ask_kernels(const KernelQuestion& question) {
  KernelFindings findings;
  findings.first_seed = question.first_seed;
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  while (findings.elements < question.elements && (question.seconds <= 0 || seconds() < question.seconds)) {
    const auto jobs = jobs_of(question, question.first_seed + findings.seeds);
    for (const CaseResult& result : run_jobs(jobs, {question.threads, {}})) add(result, findings);
    ++findings.seeds;
    if (question.progress) question.progress(findings);
  }
  return findings;
}

}  // namespace normquant::oracle
