// Values that mean nothing are refused by every command with status 2 and a sentence; names that are nearly right are guessed.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "run_program.hpp"

namespace normquant {
namespace {

using tests::Answer;
using tests::expect_answer;
using tests::run_program;

/// `'text'`, as a word of sh.
std::string quoted(const std::string& text) {
  std::string word = "'";
  for (const char c : text) c == '\'' ? word += "'\\''" : word += c;
  return word + "'";
}

struct ListedOption {
  std::string command, name;
};

/// The options of every command that take a value, as the manual page lists them.
std::vector<ListedOption> options_with_values() {
  std::vector<ListedOption> all;
  std::istringstream lines(run_program("man").output);
  std::string command;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(".SS ")) command = line.substr(4);
    const std::size_t value = line.find(" \\fIVALUE");
    if (!line.starts_with(".B \\-\\-") || value == std::string::npos) continue;
    std::string name;
    for (const char c : line.substr(3, value - 3)) name += c == '\\' ? "" : std::string(1, c);
    all.push_back({command, name});
  }
  return all;
}

TEST(Arguments, AnEmptyValueOfAnyOptionIsRefused) {
  const auto all = options_with_values();
  EXPECT_GT(all.size(), 80U);
  for (const auto& [command, name] : all) {
    const Answer r = run_program(command + " " + name + "=''");
    EXPECT_EQ(r.status, 2) << command << " " << name << "\n" << r.output;
    EXPECT_FALSE(r.output.empty()) << command << " " << name;
  }
}

TEST(Arguments, NumbersThatAreNoneAreRefusedEverywhere) {
  const std::vector<std::string> numbers = {"validate --seed",
                                            "validate --schedule-seed",
                                            "validate --jobs",
                                            "validate --slowest",
                                            "validate --most-minutes",
                                            "bench --device host --case-timeout",
                                            "bench --device host --extra-work",
                                            "oracle --seed",
                                            "oracle --elements",
                                            "oracle --seconds",
                                            "oracle --jobs",
                                            "check --op forward --eps",
                                            "report x --min-effect",
                                            "gate --min-effect",
                                            "gate --blocks",
                                            "gate --stages",
                                            "gate --process-timeout",
                                            "gate --same-runs",
                                            "gate --slowed-runs",
                                            "gate --seconds",
                                            "env --gpu"};
  for (const std::string& option : numbers) {
    for (const char* value : {"nan", "-nan", "inf", "-inf", "1e999", "", " ", "1 ", "0x10", "1,5", "--", "x", "1e",
                              "\x1b[31m", "99999999999999999999999"}) {
      const Answer r = run_program(option + "=" + quoted(value));
      EXPECT_EQ(r.status, 2) << option << "=" << value << "\n" << r.output;
      EXPECT_EQ(r.output.find('\x1b'), std::string::npos) << option << ": terminals obey it";
      EXPECT_FALSE(r.output.empty());
    }
  }
  for (const char* negative : {"validate --seed=-1", "validate --jobs=-1", "validate --jobs=0", "oracle --elements=-1",
                               "oracle --seconds=-0.5", "gate --blocks=-3", "env --gpu=-1", "validate --slowest=-1"}) {
    EXPECT_EQ(run_program(negative).status, 2) << negative;
  }
}

TEST(Arguments, WhatIsWrongIsSaidInPlainWords) {
  for (const char* value : {"inf", "-inf", "nan"}) {
    expect_answer(std::string("validate --most-minutes ") + value, 2,
                  "--most-minutes: '" + std::string(value) + "' is not finite");
  }
  expect_answer("validate --most-minutes 1e999", 2, "too large or too small");
  expect_answer("check --op norm --eps 1e-999", 2, "too large or too small");
  for (const char* option :
       {"validate --most-minutes", "validate --jobs", "validate --seed", "check --op norm --eps"}) {
    expect_answer(std::string(option) + " ''", 2, ": the value is empty");
    expect_answer(std::string(option) + "=''", 2, " needs a value");
    expect_answer(option, 2, " needs a value");
  }
  expect_answer("validate --device host --device host", 2, "--device is given more than once");
  expect_answer("validate one two three", 2, "'one', 'two', 'three' are not expected");
  expect_answer("list one", 2, "'one' is not expected");
  expect_answer("bench --device host one", 2, "'one' is not expected");
  expect_answer("list --frob --knob=3", 2, "there is no option --frob\n");
  expect_answer("validate --jobz=3", 2, "there is no option --jobz; did you mean '--jobs'?");
}

TEST(Arguments, NoFileThatIsNoJsonIsAnsweredInTheLibrarysWords) {
  const tests::ScratchFolder folder("arguments_json");
  const std::string file = folder.file("x");
  for (const char* text : {"{", "hello", "[1]", "{}", "{\"schema\":3}", "{\"cases\":[{\"op\":3}]}", "\"x\"", "null"}) {
    for (const char* command : {"validate --op forward --shape 2x8 --resume --json ", "bench --device host --sweep ",
                                "report ", "merge --out /dev/null ", "tune --from ", "gate --candidate x --baseline ",
                                "bench --device host --op forward --shape 2x64 --resume --out "}) {
      if (std::string(command).ends_with("--out ") && text[0] == '{') continue;  // as a line that was cut off begins
      std::ofstream(file) << text;
      const Answer r = run_program(command + file);
      EXPECT_EQ(r.status, 2) << command << text << "\n" << r.output;
      EXPECT_EQ(r.output.find("json.exception"), std::string::npos) << command << text << "\n" << r.output;
      EXPECT_EQ(r.output.find("parse error"), std::string::npos) << command << text << "\n" << r.output;
    }
  }
}

TEST(Arguments, HostileTextsAreRefusedAndShownHarmlessly) {
  for (const char* option : {"validate --op",
                             "validate --dtype",
                             "validate --suite",
                             "validate --device",
                             "validate --shape",
                             "validate --case",
                             "validate --variant",
                             "validate --plugin",
                             "validate --shard",
                             "bench --device host --sweep",
                             "bench --device host --op",
                             "bench --device host --table",
                             "list --op",
                             "oracle --suite",
                             "products --device host --shape",
                             "report",
                             "merge --out x",
                             "gate --baseline x --candidate",
                             "env --format",
                             "tune --from"}) {
    for (const char* value : {"\x1b]0;title\x07", "a\nb", "no_such_thing_\xff", "../../etc/passwd\x7f", "1e9x1e9"}) {
      const Answer r = run_program(std::string(option) + " " + quoted(value));
      EXPECT_EQ(r.status, 2) << option << " " << value << "\n" << r.output;
      EXPECT_EQ(r.output.find('\x1b'), std::string::npos) << option;
      EXPECT_EQ(r.output.find('\x07'), std::string::npos) << option;
    }
  }
}

TEST(Arguments, NearMissesAreGuessed) {
  expect_answer("valdate", 2, "did you mean 'validate'?");
  expect_answer("validate --op foward", 2, "did you mean 'forward'?");
  expect_answer("validate --suite smok", 2, "did you mean 'smoke'?");
  expect_answer("validate --dtype bfloat61", 2, "did you mean 'bfloat16'?");
  expect_answer("validate --op forward --variant one_pas_e8", 2, "did you mean 'one_pass_e8'?");
  expect_answer("validate --devcie host", 2, "did you mean '--device'?");
  expect_answer("bench --device host --shpae 2x64", 2, "did you mean '--shape'?");
  expect_answer("bench --device host --sweep quik", 2, "did you mean 'quick'?");
  expect_answer("list --op backwrad", 2, "did you mean 'backward'?");
  EXPECT_EQ(run_program("frobnicate").output.find("did you mean"), std::string::npos);
}

TEST(Arguments, VersionHelpCompletionAndManual) {
  expect_answer("--version", 0, "normquant 0.");
  expect_answer("--help", 0, "validate");
  expect_answer("completion tcsh", 2, "tcsh");
  const Answer man = run_program("man");
  EXPECT_EQ(man.status, 0);
  for (const char* part : {".TH normquant 1", "\\-\\-fail\\-fast", ".SH EXIT STATUS"}) {
    EXPECT_NE(man.output.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(std::system("'" NORMQUANT_PROGRAM "' completion bash | bash -n"), 0);
  if (std::system("zsh -c true >/dev/null 2>&1") == 0) {
    EXPECT_EQ(std::system("'" NORMQUANT_PROGRAM "' completion zsh | zsh -n"), 0);
  }
}

TEST(Arguments, EveryStatusButZeroHasItsSentenceOnStandardError) {
  for (const char* arguments :
       {"", "frobnicate", "validate --op x", "validate --op forward --variant '^one_pass_e8$' --shape 2x3",
        "bench --device host --op x", "report", "report /no/such", "gate", "merge", "tune --from /no/such", "check",
        "oracle --suite x", "list --op x", "env --gpu x", "products --device host --shape 1x1x1",
        "validate --device cuda:99 --require-gpu", "completion", "man x"}) {
    const std::string command = std::string("'") + NORMQUANT_PROGRAM + "' " + arguments + " 2>&1 >/dev/null </dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    std::string said;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) said += static_cast<char>(c);
    const int answer = pclose(pipe);
    EXPECT_NE(WEXITSTATUS(answer), 0) << arguments;
    EXPECT_NE(said.find("normquant"), std::string::npos) << arguments << ": " << said;
  }
}

TEST(Arguments, ARowIsALineInAPipe) {
  const std::string command = std::string("env -u COLUMNS '") + NORMQUANT_PROGRAM + "' list --op backward";
  FILE* pipe = popen(command.c_str(), "r");
  std::string said;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) said += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0);
  int rows = 0;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("staged_shifted_e32") == std::string::npos) continue;
    ++rows;
    EXPECT_GT(line.size(), 80U) << "its whole description: " << line;
  }
  EXPECT_GT(rows, 0) << said;
}

TEST(Arguments, TablesFitEightyColumns) {
  for (const char* arguments :
       {"list", "validate --op activation_quant --shape 3x20 --dtype bfloat16",
        "bench --device host --op forward --shape 2x64 --variant auto --benchmark_format=json"}) {
    const std::string command = std::string("env COLUMNS=80 '") + NORMQUANT_PROGRAM + "' " + arguments + " 2>/dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    std::string said;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) said += static_cast<char>(c);
    EXPECT_EQ(pclose(pipe), 0);
    if (std::string(arguments).starts_with("bench")) continue;  // its lines are Google Benchmark's
    std::istringstream lines(said);
    for (std::string line; std::getline(lines, line);) {
      const bool prose = line.find(": ") != std::string::npos;
      EXPECT_TRUE(prose || line.size() <= 80) << line;
    }
  }
}

}  // namespace
}  // namespace normquant
