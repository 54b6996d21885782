// No attack succeeds: each plugin of tests/attacks is found to be wrong, is an error, or is timed doing the work.
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using nlohmann::json;
using tests::Answer;
using tests::expect_answer;
using tests::run_program;

const std::string folder = std::string(NORMQUANT_BUILD_DIR) + "/tests/attacks/";

/// What `validate` and `bench` answer an attack.
struct Expected {
  std::string name, validated, timed;  ///< outcome, verdict
  std::string reason;                  ///< a part of the sentence of `bench`; empty: no matter
};

/// "honest": it did the work in every launch that was timed, and its time is that of the work.
const std::vector<Expected>& expected() {
  static const std::vector<Expected> all = {
      {"is_honest", "pass", "honest", ""},
      {"skips_when_filled", "pass", "honest", ""},
      {"works_on_poison_only", "pass", "honest", ""},
      {"caches_by_value", "pass", "honest", ""},
      {"caches_by_pointer", "pass", "wrong", "while it was timed"},
      {"caches_by_shape", "pass", "wrong", "while it was timed"},
      {"works_in_a_thread", "", "wrong", ""},
      {"works_after_a_while", "", "wrong", ""},
      {"works_when_called_again", "wrong", "wrong", "before timing"},
      {"honest_at_first", "pass", "wrong", "was not written yet when the launch returned"},
      {"honest_now_and_then", "pass", "wrong", "while it was timed"},
      {"honest_when_not_in_a_hurry", "pass", "wrong", "while it was timed"},
      {"returns_a_constant", "wrong", "wrong", "before timing"},
      {"does_nothing", "wrong", "wrong", "never written"},
      {"copies_its_input", "wrong", "wrong", "before timing"},
      {"writes_samples", "wrong", "wrong", "before timing"},
      {"repeats_the_first_row", "wrong", "wrong", "before timing"},
      {"reads_other_buffers", "pass", "wrong", "while it was timed"},
      {"zeroes_its_input", "wrong", "wrong", "before timing"},
      {"rounds_up_from_now_on", "error", "error", "changed the floating-point mode: the rounding mode"},
      {"flushes_denormals", "error", "error", "changed the floating-point mode"},
      {"sets_the_x87_control_word", "error", "error", "changed the floating-point mode"},
      {"exits", "error", "error", "attacks.so ended its process with status 0 before it was done"},
      {"exits_at_once", "error", "error", "ended its process with status 0 before it was done"},
      {"answers_for_the_judge", "error", "error", ""},  // it may end by what it wrote, too
      {"writes_to_every_line", "error", "error", "wrote into the line between its process and this program"},
      {"leaves_a_process_behind", "pass", "honest", ""},  // the environment names no file, so that it leaves none
      {"aborts", "error", "error", "was ended by signal 6"},
      {"crashes", "error", "error", ""},
      {"breaks_the_heap", "error", "error", ""},
      {"asks_for_all_memory", "error", "error", "18446744073709551615 bytes of scratch memory; the most is"},
      {"asks_for_half_of_all", "error", "error", "9223372036854775808 bytes of scratch memory; the most is"},
      {"asks_for_a_terabyte", "error", "error", "1099511627776 bytes of scratch memory; the most is"}};
  return all;
}

const std::string all_but_hangs = " --variant '^attack:(?!hangs)' --plugin " + folder + "attacks.so";

TEST(Attacks, ValidateGoesOnAfterEachAndSaysWhatItWas) {
  const tests::ScratchFolder scratch("attacks");
  const std::string file = scratch.file("v.json");
  const Answer r =
      run_program("validate --case 'op=activation_quant shape=40x512 x=float32 out=float32 rounding=half_even'" +
                  all_but_hangs + " --json " + file);
  EXPECT_EQ(r.status, 1) << r.output;
  EXPECT_EQ(r.output.find("interrupted by"), std::string::npos) << "what a plugin writes is no signal: " << r.output;
  std::map<std::string, std::string> outcomes;
  const auto document = json::parse(std::ifstream(file));
  for (const json& result : document["results"]) {
    outcomes[result["variant"].get<std::string>()] = result["outcome"].get<std::string>();
  }
  for (const Expected& attack : expected()) {
    if (attack.validated.empty()) continue;                     // a thread may be in time, or crash later
    const auto found = outcomes.find("attack:" + attack.name);  // what passed is counted only
    EXPECT_EQ(found == outcomes.end() ? "pass" : found->second, attack.validated) << attack.name;
  }
}

TEST(Attacks, NoneIsTimedWithoutWork) {
  const tests::ScratchFolder scratch("attacks_timed");
  const std::string file = scratch.file("t.jsonl");
  const Answer r = run_program("bench --device host --op activation_quant --shape 32x2048 --dtype float32" +
                               all_but_hangs + " --out " + file);
  EXPECT_EQ(r.status, 1) << r.output;
  std::map<std::string, json> records;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    if (record["kind"] == "timing" && record["form"] == "out") records[record["variant"].get<std::string>()] = record;
  }
  const double honest_us = records["attack:is_honest"]["min_us"].get<double>();
  for (const Expected& attack : expected()) {
    const json& record = records["attack:" + attack.name];
    const std::string verdict = record["verdict"].get<std::string>();
    EXPECT_EQ(verdict, attack.timed == "honest" ? "pass" : attack.timed) << record.dump();
    EXPECT_NE(record["reason"].get<std::string>().find(attack.reason), std::string::npos) << record.dump();
    if (verdict != "pass") continue;
    EXPECT_GT(record["min_us"].get<double>(), honest_us / 4) << record.dump();
    EXPECT_TRUE(record.contains("scrutiny_seed"));
  }
}

TEST(Attacks, AHangIsAnErrorAfterItsTime) {
  const std::string hangs =
      " --op activation_quant --dtype float32 --shape 3x64 --variant '^attack:(hangs|is_honest)$'" +
      std::string(" --plugin-timeout 1 --plugin ") + folder + "attacks.so";
  const Answer checked = run_program("validate" + hangs);
  EXPECT_EQ(checked.status, 5) << checked.output;
  EXPECT_NE(
      checked.output.find("ERROR attack:hangs on host: the plugin " + folder + "attacks.so was not done within 1 s"),
      std::string::npos)
      << checked.output;
  EXPECT_NE(checked.output.find("problem:   op=activation_quant shape=3x64"), std::string::npos) << checked.output;
  const Answer timed = run_program("bench --device host" + hangs);
  EXPECT_EQ(timed.status, 5) << timed.output;
  EXPECT_NE(timed.output.find("was not done within 1 s"), std::string::npos) << timed.output;
}

/// Processes that were left behind, by the file that they are named in; waits until they are gone, ten seconds at most.
int still_there(const std::string& file, int& left) {
  std::ifstream numbers(file);
  int there = 0;
  left = 0;
  for (int process = 0; numbers >> process; ++left) {
    for (int i = 0; i < 1000 && kill(process, 0) == 0; ++i) usleep(10'000);
    there += kill(process, 0) == 0 ? 1 : 0;
  }
  return there;
}

TEST(Attacks, WhatAPluginStartsEndsWithIt) {
  const tests::ScratchFolder scratch("left_behind");
  const std::string variant = " --op activation_quant --dtype float32 --shape 3x64 --variant leaves_a_process_behind";
  for (const char* command : {"validate", "bench --device host"}) {
    const std::string file = scratch.file(std::string("left_by_") + command[0]);
    setenv("NORMQUANT_TEST_LEFT_BEHIND", file.c_str(), 1);
    EXPECT_EQ(run_program(command + variant + " --plugin " + folder + "attacks.so").status, 0) << command;
    unsetenv("NORMQUANT_TEST_LEFT_BEHIND");
    int left = 0;
    EXPECT_EQ(still_there(file, left), 0) << command;
    EXPECT_GT(left, 0) << command << ": it left none";
  }
}

TEST(Attacks, OneThatRunsOutOfTimeAgainAndAgainIsGivenUp) {
  const Answer r = run_program(
      "validate --op activation_quant --shape 3x64 --dtype float32 --jobs 1 --variant '^attack:hangs$' "
      "--plugin-timeout 1 --plugin " +
      folder + "attacks.so");
  EXPECT_EQ(r.status, 5) << r.output;
  EXPECT_NE(r.output.find("not tried: attack:hangs of the plugin"), std::string::npos) << r.output;
}

TEST(Attacks, SymbolsOfAPluginAreNotTheProgramsOwn) {
  const tests::ScratchFolder scratch("symbols");
  const std::string file = scratch.file("t.jsonl");
  const std::string symbols = " --plugin " + folder + "symbols.so";
  EXPECT_EQ(
      run_program("bench --device host --op activation_quant --shape 3x64 --dtype float32 --variant stops_the_clock" +
                  symbols + " --out " + file)
          .status,
      0);
  std::ifstream lines(file);
  int passed = 0;
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    if (record["kind"] != "timing" || record["verdict"] != "pass") continue;
    EXPECT_GE(record["min_us"].get<double>(), 20'000);
    ++passed;
  }
  EXPECT_EQ(passed, 1);
  expect_answer("validate --op activation_quant --shape 3x64 --dtype float32 --variant compares_equal" + symbols, 1,
                "WRONG symbols:compares_equal");
}

TEST(Attacks, WhatDoesHarmWhileItIsLoadedIsRefused) {
  const std::string sentences[] = {"loading it ended its process with status 0", "loading it was not done within 1 s",
                                   "loading it was ended by signal 6",
                                   "loading it changed the floating-point mode: the rounding mode",
                                   "loading it ended its process with status 0"};
  for (std::size_t i = 0; i < std::size(sentences); ++i) {
    const std::string plugin = folder + "loading_" + std::to_string(i + 1) + ".so";
    for (const char* command : {"list", "validate", "bench --device host"}) {
      expect_answer(std::string(command) + " --plugin-timeout 1 --plugin " + plugin, 2,
                    "cannot use the plugin " + plugin + ": " + sentences[i]);
    }
  }
}

}  // namespace
}  // namespace normquant
