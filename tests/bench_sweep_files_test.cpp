// Sweeps that are killed, gone on with, divided and joined, as programs on the host device: nothing finished is lost.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"

namespace normquant::bench {
namespace {

using nlohmann::ordered_json;

class SweepFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "sweep_files_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  /// Exit status of `normquant ARGUMENTS`; what it prints is in path("printed").
  int normquant(const std::string& arguments) const {
    const std::string command =
        std::string("'") + NORMQUANT_PROGRAM + "' " + arguments + " >" + path("printed") + " 2>&1";
    const int answer = std::system(command.c_str());
    return WIFEXITED(answer) ? WEXITSTATUS(answer) : -1;
  }
  std::string printed() const { return content(path("printed")); }
  static std::string content(const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  static std::vector<std::string> lines(const std::string& file) {
    std::vector<std::string> all;
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  }

  /// The record without what differs from run to run: times and the environment's moment.
  static std::string without_times(const std::string& line) {
    ordered_json record = ordered_json::parse(line);
    for (const char* key : {"median_us", "q1_us", "q3_us", "min_us", "max_us", "p05_us", "p95_us", "relative_error",
                            "stop_reason", "samples", "count", "time"}) {
      record.erase(key);
    }
    return record.dump();
  }

  std::string folder_;
};

/// Fifteen cases of a few milliseconds each.
const std::string sweep = "bench --device host --op forward --shape 2x64 --shape 3x40 --shape 1x1000 --variant 'auto' ";
constexpr std::size_t cases = 15;

TEST_F(SweepFiles, AKillAtAnyMomentLosesNothingFinished) {
  const auto began = std::chrono::steady_clock::now();
  ASSERT_EQ(normquant(sweep + "--out " + path("whole.jsonl")), exit_pass) << printed();
  const std::chrono::duration<double, std::micro> a_run = std::chrono::steady_clock::now() - began;
  std::mt19937 generator(11);
  // Microseconds: before, within and after the sweep, however fast this machine and this build are.
  std::uniform_int_distribution<std::int64_t> moment(1, static_cast<std::int64_t>(1.1 * a_run.count()));
  int interrupted = 0;
  for (int kill_number = 0; kill_number < 50; ++kill_number) {
    const std::string file = path("killed.jsonl");
    std::filesystem::remove(file);
    const std::string command =
        "exec '" + std::string(NORMQUANT_PROGRAM) + "' " + sweep + "--out " + file + " >/dev/null 2>&1";
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(moment(generator)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::vector<std::string> before = lines(file);
    if (!before.empty() && !ordered_json::accept(before.back())) before.pop_back();  // cut off by the kill
    if (before.size() > 1 && before.size() <= cases) ++interrupted;
    ASSERT_EQ(normquant(sweep + "--resume --out " + file), exit_pass) << printed();
    const std::vector<std::string> after = lines(file);
    ASSERT_EQ(after.size(), cases + 1);
    for (std::size_t i = 0; i < before.size(); ++i)
      ASSERT_EQ(after[i], before[i]) << "line " << i << " was lost or changed";
    std::set<long long> indices;
    for (std::size_t i = 1; i < after.size(); ++i)
      indices.insert(ordered_json::parse(after[i])["index"].get<long long>());
    ASSERT_EQ(indices.size(), cases);
  }
  EXPECT_GT(interrupted, 0) << "no kill came while cases were timed: the test proves nothing";
}

TEST_F(SweepFiles, ACutOffLineIsTimedAgain) {
  const std::string file = path("cut.jsonl");
  ASSERT_EQ(normquant(sweep + "--out " + file), exit_pass);
  const std::string whole = content(file);
  std::ofstream(file) << whole.substr(0, whole.size() - 30);
  ASSERT_EQ(normquant(sweep + "--resume --out " + file), exit_pass) << printed();
  EXPECT_EQ(lines(file).size(), cases + 1);
  EXPECT_NE(printed().find("14 of 15 were finished before"), std::string::npos) << printed();
}

TEST_F(SweepFiles, ResumeRefusesWhatIsNotThisSweepAndLeavesItAlone) {
  const std::string file = path("other.jsonl");
  ASSERT_EQ(normquant(sweep + "--out " + file), exit_pass);
  const std::string ours = content(file);
  EXPECT_EQ(normquant("bench --device host --op forward --shape 9x9 --variant auto --resume --out " + file),
            exit_usage);
  EXPECT_NE(printed().find("cannot be gone on with"), std::string::npos) << printed();
  EXPECT_EQ(content(file), ours);
  for (const std::string& text :
       {std::string("hello"), std::string("hello\n"), std::string("{\"kind\":\"environment\"}\n"),
        std::string("\0\1\2", 3), ours.substr(ours.find('\n') + 1)}) {
    std::ofstream(file, std::ios::binary) << text;
    EXPECT_EQ(normquant(sweep + "--resume --out " + file), exit_usage) << text;
    EXPECT_EQ(content(file), text) << "a file that is not ours is not touched";
  }
  EXPECT_EQ(normquant(sweep + "--resume"), exit_usage) << "without --out";
}

TEST_F(SweepFiles, RecordsHoldNoPath) {
  const std::string file = path("mine.json"), out = path("mine.jsonl");
  std::ofstream(file) << R"({"cases": [{"op": "forward", "shapes": ["2x64"], "forms": ["rms"]}]})";
  ASSERT_EQ(normquant("bench --device host --variant auto --sweep " + file + " --out " + out), exit_pass) << printed();
  EXPECT_EQ(ordered_json::parse(lines(out)[0])["plan"]["sweep"], "mine.json");
  EXPECT_EQ(content(out).find(folder_), std::string::npos);
}

TEST_F(SweepFiles, AFinishedSweepIsNotRunAgain) {
  const std::string file = path("done.jsonl");
  ASSERT_EQ(normquant(sweep + "--out " + file), exit_pass);
  const std::string before = content(file);
  EXPECT_EQ(normquant(sweep + "--resume --out " + file), exit_pass);
  EXPECT_EQ(content(file), before);
}

TEST_F(SweepFiles, ShardsMergeIntoWhatAnUndividedRunWrites) {
  const std::string whole = path("whole.jsonl"), merged = path("merged.jsonl");
  ASSERT_EQ(normquant(sweep + "--out " + whole), exit_pass);
  std::string shards;
  for (const char* shard : {"3/3", "1/3", "2/3"}) {  // in any order
    const std::string file = path(std::string("shard") + shard[0]);
    ASSERT_EQ(normquant(sweep + "--shard " + shard + " --out " + file), exit_pass) << printed();
    shards += " " + file;
  }
  ASSERT_EQ(normquant("merge --out " + merged + shards), exit_pass) << printed();
  const auto expected = lines(whole), found = lines(merged);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(without_times(found[i]), without_times(expected[i]));
  EXPECT_EQ(normquant("report " + merged), exit_pass) << printed();
}

TEST_F(SweepFiles, MergeNamesWhatIsMissingTwiceOrForeign) {
  const std::string one = path("one"), two = path("two"), out = " --out " + path("merged");
  ASSERT_EQ(normquant(sweep + "--shard 1/2 --out " + one), exit_pass);
  ASSERT_EQ(normquant(sweep + "--shard 2/2 --out " + two), exit_pass);
  EXPECT_EQ(normquant("merge " + one + out), exit_usage);
  EXPECT_NE(printed().find("the shard 2/2 is missing"), std::string::npos) << printed();
  EXPECT_EQ(normquant("merge " + one + " " + one + out), exit_usage);
  EXPECT_NE(printed().find("twice"), std::string::npos) << printed();
  std::ofstream(path("foreign")) << "hello\n";
  EXPECT_EQ(normquant("merge " + one + " " + path("foreign") + out), exit_usage);
  EXPECT_EQ(normquant("merge " + one + " " + path("none") + out), exit_usage);
  const std::string text = content(two);
  std::ofstream(two) << text.substr(0, text.size() - 5);
  EXPECT_EQ(normquant("merge " + one + " " + two + out), exit_usage);
  EXPECT_NE(printed().find("cut off"), std::string::npos) << printed();
  std::ofstream(two) << text.substr(0, text.rfind('\n', text.size() - 2) + 1);
  EXPECT_EQ(normquant("merge " + one + " " + two + out), exit_usage);
  EXPECT_NE(printed().find("1 of 15 cases are missing: the shard 2/2 ("), std::string::npos) << printed();
}

TEST_F(SweepFiles, AnEmptyShardMerges) {
  const std::string one_case = "bench --device host --op activation_quant --shape 2x64 --variant auto ";
  std::string shards;
  for (const char* shard : {"1/3", "2/3", "3/3"}) {  // two cases: out, codes
    const std::string file = path(std::string("shard") + shard[0]);
    ASSERT_EQ(normquant(one_case + "--shard " + shard + " --out " + file), exit_pass) << printed();
    shards += " " + file;
  }
  EXPECT_EQ(lines(path("shard3")).size(), 1U) << "the environment alone";
  ASSERT_EQ(normquant("merge --out " + path("merged") + shards), exit_pass) << printed();
  EXPECT_EQ(lines(path("merged")).size(), 3U);
}

TEST_F(SweepFiles, RepetitionsMergeAndGoOn) {
  const std::string repeated =
      "bench --device host --op activation_quant --shape 2x64 --variant auto --benchmark_repetitions=3 ";
  const std::string one = path("one"), two = path("two");
  ASSERT_EQ(normquant(repeated + "--shard 1/2 --out " + one), exit_pass) << printed();
  ASSERT_EQ(normquant(repeated + "--shard 2/2 --out " + two), exit_pass) << printed();
  ASSERT_EQ(normquant("merge --out " + path("merged") + " " + one + " " + two), exit_pass) << printed();
  EXPECT_EQ(lines(path("merged")).size(), 7U);
  const std::string text = content(one);  // an interruption between two repetitions
  std::ofstream(one) << text.substr(0, text.rfind('\n', text.size() - 2) + 1);
  ASSERT_EQ(normquant(repeated + "--shard 1/2 --resume --out " + one), exit_pass) << printed();
  EXPECT_EQ(lines(one).size(), 4U) << "the case is repeated anew, and none too often";
}

TEST_F(SweepFiles, ACaseThatTakesTooLongBecomesAnErrorAndTheSweepGoesOn) {
  // 2000 rows of 16384 columns take the host device many seconds; the rest takes milliseconds.
  const std::string file = path("timeout.jsonl");
  const std::string slow =
      "bench --device host --op activation_quant --shape 2x64 --shape 2000x16384 --shape 3x40 --variant auto ";
  EXPECT_EQ(normquant(slow + "--case-timeout 1.5 --out " + file), exit_infrastructure) << printed();
  const auto all = lines(file);
  ASSERT_EQ(all.size(), 7U);
  int passed = 0, given_up = 0;
  for (std::size_t i = 1; i < all.size(); ++i) {
    const auto record = ordered_json::parse(all[i]);
    passed += record["verdict"] == "pass" ? 1 : 0;
    given_up += record["reason"].get<std::string>().find("given up after 1.5 s") == 0 ? 1 : 0;
  }
  EXPECT_EQ(passed, 4) << content(file);
  EXPECT_EQ(given_up, 2);
  EXPECT_FALSE(std::filesystem::exists(file + ".running"));
}

}  // namespace
}  // namespace normquant::bench
