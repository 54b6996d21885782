// `normquant bench` and `normquant env` as programs on the host device: exit statuses, sentences, files.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"

namespace normquant::bench {
namespace {

struct Answer {
  int status = -1;
  std::string out, err;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A path of this process alone: ctest runs the tests of this file side by side.
std::string own_path(const std::string& extension) {
  return testing::TempDir() + "bench_command_" + std::to_string(getpid()) + "." + extension;
}

Answer normquant(const std::string& arguments) {
  const std::string out = own_path("out"), err = own_path("err");
  const std::string command = std::string("'") + NORMQUANT_PROGRAM + "' " + arguments + " >" + out + " 2>" + err;
  const int answer = std::system(command.c_str());
  Answer result{WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, content_of(out), content_of(err)};
  std::remove(out.c_str());
  std::remove(err.c_str());
  return result;
}

/// A run of a fraction of a second.
const std::string tiny = "bench --device host --op forward --shape 2x64 --variant auto ";

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(BenchCommand, TimesOnTheHostAndSaysThatItIsTheCpu) {
  const std::string path = own_path("jsonl");
  const Answer answer = normquant(tiny + "--out " + path);
  EXPECT_EQ(answer.status, exit_pass) << answer.err;
  EXPECT_NE(answer.out.find("CPU execution, not a GPU time"), std::string::npos) << answer.out;
  EXPECT_EQ(answer.out.find("share_of_copy"), std::string::npos) << answer.out;
  const auto lines = lines_of(path);
  ASSERT_EQ(lines.size(), 6U) << "environment, and the five forms";
  EXPECT_EQ(lines[0]["kind"], "environment");
  for (std::size_t i = 1; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["kind"], "timing");
    EXPECT_EQ(lines[i]["verdict"], "pass") << lines[i].dump();
    EXPECT_EQ(lines[i]["time_kind"], "cpu_execution");
    EXPECT_FALSE(lines[i]["samples"].empty());
  }
  std::remove(path.c_str());
}

TEST(BenchCommand, BadInputGetsASentenceAndStatusTwo) {
  for (const char* arguments : {"--shape 0x",
                                "--shape -1x4",
                                "--shape 1e9x1e9",
                                "--shape 4",
                                "--shape 0x4",
                                "--shape ''",
                                "--sweep ''",
                                "--out ''",
                                "--op sideways",
                                "--dtype int7",
                                "--variant no_such_variant",
                                "--variant '('",
                                "--sweep no_such_sweep",
                                "--sweep .",
                                "--device cuda",
                                "--require-gpu",
                                "--frobnicate",
                                "stray",
                                "--benchmark_frobnicate=1",
                                "--benchmark_min_time=soon",
                                "--benchmark_format=xml",
                                "--benchmark_out_format=xml",
                                "--benchmark_filter=matches_nothing"}) {
    const Answer answer = normquant("bench --device host " + std::string(arguments));
    EXPECT_EQ(answer.status, exit_usage) << arguments;
    EXPECT_FALSE(answer.err.empty()) << arguments;
  }
  for (const char* device : {"gpu", "cuda:x", "''"}) {
    EXPECT_EQ(normquant("bench --device " + std::string(device)).status, exit_usage) << device;
  }
}

TEST(BenchCommand, UnwritableOutputsAreInfrastructure) {
  for (const char* arguments : {"--out /no/such/folder/x", "--out .", "--benchmark_out=/no/such/folder/x"}) {
    const Answer answer = normquant(tiny + arguments);
    EXPECT_EQ(answer.status, exit_infrastructure) << arguments;
    EXPECT_NE(answer.err.find("cannot write"), std::string::npos) << answer.err;
  }
}

TEST(BenchCommand, CasesThatDoNotFitEndAsErrorsNotTheSweep) {
  const std::string path = own_path("jsonl");
  const Answer answer = normquant(tiny + "--shape 1048576x1048576 --benchmark_filter=/rms/ --out " + path);
  EXPECT_EQ(answer.status, exit_infrastructure) << answer.err;
  const auto lines = lines_of(path);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1]["verdict"], "pass");
  EXPECT_EQ(lines[2]["verdict"], "error");
  EXPECT_NE(lines[2]["reason"].get<std::string>().find("memory"), std::string::npos);
  std::remove(path.c_str());
}

TEST(BenchCommand, ListPrintsNamesAndRunsNothing) {
  const Answer answer = normquant(tiny + "--list");
  EXPECT_EQ(answer.status, exit_pass);
  EXPECT_NE(answer.out.find("norm_quant_forward/auto/2x64/bfloat16/rms+residual\n"), std::string::npos) << answer.out;
  EXPECT_EQ(answer.out.find("best variant"), std::string::npos);
}

TEST(BenchCommand, GoogleBenchmarksFlagsWork) {
  const Answer list = normquant(tiny + "--benchmark_list_tests=true --benchmark_filter=layer");
  EXPECT_EQ(list.status, exit_pass);
  EXPECT_NE(list.out.find("/layer/manual_time"), std::string::npos) << list.out;
  EXPECT_EQ(list.out.find("/rms/"), std::string::npos) << list.out;
  const Answer json = normquant(tiny + "--benchmark_format=json --benchmark_filter=/rms/");
  EXPECT_EQ(json.status, exit_pass);
  ASSERT_TRUE(nlohmann::json::accept(json.out)) << json.out;
  const auto run = nlohmann::json::parse(json.out)["benchmarks"][0];
  EXPECT_TRUE(run.contains("median_us"));
  EXPECT_TRUE(run.contains("bytes"));
  const Answer repeated = normquant(tiny + "--benchmark_repetitions=2 --benchmark_filter=/rms/");
  EXPECT_NE(repeated.out.find("manual_time_median"), std::string::npos) << repeated.out;
}

TEST(BenchCommand, ARequiredGpuThatIsAbsentHasItsOwnStatus) {
  if (normquant("env --format json").out.find("\"gpu\": null") == std::string::npos) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(normquant("bench --require-gpu").status, exit_gpu_absent);
  EXPECT_EQ(normquant("bench --device cuda").status, exit_gpu_absent);
}

TEST(BenchCommand, ReportReadsWhatBenchWrote) {
  const std::string path = own_path("jsonl");
  ASSERT_EQ(normquant(tiny + "--out " + path).status, exit_pass);
  const Answer report = normquant("report " + path);
  EXPECT_EQ(report.status, exit_pass) << report.err;
  EXPECT_NE(report.out.find("rms+residual"), std::string::npos) << report.out;
  const std::string gate = "gate --baseline " + path + " --candidate " + path;
  EXPECT_EQ(normquant(gate).status, exit_usage) << "CPU execution times are not gated";
  std::remove(path.c_str());
}

TEST(EnvCommand, TableAndJson) {
  const Answer table = normquant("env");
  EXPECT_EQ(table.status, exit_pass);
  EXPECT_NE(table.out.find("build.compiler"), std::string::npos) << table.out;
  const Answer json = normquant("env --format json");
  EXPECT_EQ(json.status, exit_pass);
  EXPECT_EQ(nlohmann::json::parse(json.out)["suite"], "normquant");
  EXPECT_EQ(normquant("env --format xml").status, exit_usage);
}

}  // namespace
}  // namespace normquant::bench
