// In which order jobs run, and in which their results come.
#include <gtest/gtest.h>

#include "validate/cost.hpp"
#include "validate/run.hpp"

namespace normquant::validate {
namespace {

Job job_of(std::int64_t rows, std::int64_t columns) {
  Job job;
  job.device.kind = DeviceKind::host;
  job.subject.problem.op = Operation::activation_quant;
  job.subject.problem.rows = rows, job.subject.problem.columns = columns;
  job.subject.problem.out = DType::bfloat16;
  job.variants = {"auto"};
  return job;
}

TEST(Run, ALongJobBeginsFirstAndResultsKeepTheOrderOfTheJobs) {
  const std::vector<Job> jobs = {job_of(2, 40), job_of(3, 40), job_of(2048, 2048)};
  ASSERT_GT(cost_of(jobs[2]).seconds, 1.0);
  std::vector<std::size_t> begun;
  RunOptions options;
  options.finished = [&](std::size_t job, const std::vector<CaseResult>&, std::size_t) {
    begun.push_back(job);
    return true;
  };
  const std::vector<CaseResult> results = run_jobs(jobs, options);
  EXPECT_EQ(begun, (std::vector<std::size_t>{2, 0, 1}));
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].problem.rows, 2);
  EXPECT_EQ(results[1].problem.rows, 3);
  EXPECT_EQ(results[2].problem.rows, 2048);
  for (const CaseResult& result : results) EXPECT_EQ(result.verdict.outcome, Outcome::pass) << result.verdict.reason;
}

TEST(Run, NothingBeginsAfterTheCallerSaidStop) {
  RunOptions options;
  options.finished = [&](std::size_t, const std::vector<CaseResult>&, std::size_t) { return false; };
  EXPECT_EQ(run_jobs({job_of(2, 40), job_of(3, 40)}, options).size(), 1u);
}

}  // namespace
}  // namespace normquant::validate
