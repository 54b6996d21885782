// `normquant gate` as a program, against a program that invents the records of a GPU: exit statuses, sentences, files.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"

namespace normquant::gate {
namespace {

class GateCommand : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c '' >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "there is no python3 for the invented program";
    folder_ = testing::TempDir() + "gate_command_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  static std::string content(const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }

  /// A program that invents records, with these environment variables.
  std::string program(const std::string& name, const std::string& variables) const {
    std::string file = path(name);
    std::ofstream(file) << "#!/bin/sh\nexec env FAKE_SEED=" << path("count") << " " << variables << " python3 -I -S '"
                        << NORMQUANT_SOURCE_DIR << "/tests/fake_normquant.py' \"$@\"\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file;
  }

  /// Exit status of `normquant gate ARGUMENTS`; what it prints is in printed().
  int gate(const std::string& arguments) const {
    std::filesystem::remove(path("count"));
    const std::string command = "XDG_STATE_HOME='" + folder_ + "/state' '" + NORMQUANT_PROGRAM + "' gate " + arguments +
                                " >" + path("printed") + " 2>&1";
    const int answer = std::system(command.c_str());
    return WIFEXITED(answer) ? WEXITSTATUS(answer) : -1;
  }
  std::string printed() const { return content(path("printed")); }
  bool says(const std::string& text) const { return printed().find(text) != std::string::npos; }

  std::string folder_;
};

TEST_F(GateCommand, AgainstAnEqualProgramNothingIsSlower) {
  const std::string same = program("same", "");
  EXPECT_EQ(gate("--blocks 2 --against " + same + " --program " + same), exit_pass) << printed();
  EXPECT_TRUE(says("0 slower, 0 inconclusive, 0 missing, 0 faster, 5 same")) << printed();
  EXPECT_TRUE(says("not qualified")) << printed();
}

TEST_F(GateCommand, TwoGpusShareTheCases) {
  const std::string same = program("same", ""), slow = program("slow", "FAKE_FACTOR=1.05");
  EXPECT_EQ(gate("--device cuda:0,1 --blocks 2 --against " + same + " --program " + same), exit_pass) << printed();
  EXPECT_TRUE(says("cuda:0: ") && says("cuda:1: ")) << "how many cases each had: " << printed();
  EXPECT_EQ(gate("--device cuda:0,1 --blocks 2 --against " + same + " --program " + slow), exit_regression)
      << printed();
  EXPECT_EQ(gate("--device cuda:0,0 --against " + same), exit_usage) << printed();
  EXPECT_EQ(gate("--device cuda:0,x --against " + same), exit_usage) << printed();
  EXPECT_EQ(gate("--device cuda:0,1 --qualify"), exit_usage) << printed();
}

TEST_F(GateCommand, ASlowerProgramIsARegressionEverywhereItIsTold) {
  const std::string command = "--against " + program("base", "") + " --program " + program("slow", "FAKE_FACTOR=1.05") +
                              " --blocks 2 --junit " + path("j.xml") + " --markdown " + path("s.md") + " --annotate";
  EXPECT_EQ(gate(command), exit_regression) << printed();
  EXPECT_TRUE(says("5 slower")) << printed();
  EXPECT_TRUE(says("::error title=SLOWER::")) << printed();
  EXPECT_NE(content(path("j.xml")).find("failures=\"5\" errors=\"0\""), std::string::npos) << content(path("j.xml"));
  EXPECT_NE(content(path("s.md")).find("### normquant gate: 5 SLOWER"), std::string::npos) << content(path("s.md"));
  const std::string first = content(path("s.md"));
  gate(command);
  EXPECT_EQ(content(path("s.md")).find(first), 0U) << "a summary is appended to";
}

TEST_F(GateCommand, OtherMachinesFailuresAndWrongResults) {
  const std::string base = program("base", "");
  const auto against = [&](const std::string& variables) {
    return gate("--against " + base + " --blocks 2 --stages 2 --program " + program("other", variables));
  };
  EXPECT_EQ(against("FAKE_GPU=Another"), exit_usage);
  EXPECT_TRUE(says("the GPUs differ")) << printed();
  EXPECT_EQ(against("FAKE_STATUS=77"), exit_gpu_absent);
  EXPECT_EQ(against("FAKE_STATUS=5"), exit_infrastructure);
  EXPECT_TRUE(says("status 5: fake: as asked")) << printed();
  EXPECT_EQ(against("FAKE_WRONG=activation_quant"), exit_wrong_results);
  EXPECT_TRUE(says("wrong: codes differ")) << printed();
  for (const char* text : {"''", "hello", "'{\"kind\":\"environment\"'", "'[1]'"}) {
    EXPECT_EQ(against(std::string("FAKE_TEXT=") + text), exit_infrastructure) << text;
    EXPECT_FALSE(printed().empty());
  }
  EXPECT_EQ(against("FAKE_NOISE=0.2"), exit_inconclusive) << printed();
  EXPECT_TRUE(says("pairs do not decide it; about")) << printed();
}

TEST_F(GateCommand, EffectsOfTheirOwnComeFromAFile) {
  const std::string command = "--against " + program("base", "") + " --program " + program("slow", "FAKE_FACTOR=1.05");
  std::ofstream(path("effects")) << "# what is rare may become slower\n0.2 *\n0.03 norm_quant_forward 2048x*\n";
  EXPECT_EQ(gate(command + " --min-effects " + path("effects")), exit_regression) << printed();
  EXPECT_TRUE(says("1 slower, 0 inconclusive, 0 missing, 0 faster, 4 same")) << printed();
  for (const char* text : {"0.2", "no *", "-1 *", "nan *", "2 *"}) {
    std::ofstream(path("effects")) << text;
    EXPECT_EQ(gate(command + " --min-effects " + path("effects")), exit_usage) << text << printed();
    EXPECT_TRUE(says("line 1 is not")) << printed();
  }
  EXPECT_EQ(gate(command + " --min-effects " + path("none")), exit_usage);
}

TEST_F(GateCommand, TheScatterOfEarlierRunsIsRemembered) {
  const std::string same = program("same", "");
  EXPECT_EQ(gate("--against " + same + " --program " + same), exit_pass) << printed();
  const std::string history = path("state/normquant/nvidia_invented_580.1.scatter.jsonl");
  const auto lines = [&] {
    const std::string text = content(history);
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(), 5) << printed();
  std::ofstream(history, std::ios::app) << "no line of it\n";
  EXPECT_EQ(gate("--against " + same + " --program " + same), exit_pass)
      << "what is no line is passed over: " << printed();
  EXPECT_EQ(lines(), 10);
}

TEST_F(GateCommand, BadArgumentsGetASentence) {
  for (const char* arguments :
       {"", "--qualify --against x", "--baseline x", "--candidate x", "--against /no/such/program",
        "--against no-such-commit", "--against README", "--qualify --device host", "--qualify --sweep no_such_sweep",
        "--against x --blocks 0", "--against x --stages 1", "--against x --min-effect 0", "--against x --adopt",
        "--against --help"}) {
    EXPECT_EQ(gate(arguments), exit_usage) << arguments << "\n" << printed();
    EXPECT_FALSE(printed().empty());
  }
}

TEST_F(GateCommand, QualifyStoresWhatLaterVerdictsShow) {
  const std::string same = program("same", "");
  EXPECT_EQ(gate("--qualify --same-runs 3 --slowed-runs 1 --program " + same), exit_pass) << printed();
  EXPECT_TRUE(says("false alarms: 0 of 3")) << printed();
  const std::string stored = path("state/normquant/nvidia_invented_580.1.json");
  ASSERT_TRUE(std::filesystem::exists(stored)) << printed();
  EXPECT_EQ(gate("--against " + same + " --program " + same), exit_pass) << printed();
  EXPECT_TRUE(says("false alarms in 0 of 3")) << printed();
  EXPECT_TRUE(says("2 A B B A blocks in the first stage")) << printed();
  EXPECT_EQ(gate("--against " + same + " --program " + program("slow", "FAKE_FACTOR=1.05")), exit_regression)
      << printed();
  std::ofstream(path("other.json"))
      << R"({"name":"other","cases":[{"op":"forward","shapes":["2x64"],"forms":["rms"]}]})";
  const std::string other = " --sweep " + path("other.json") + " --program " + same;
  EXPECT_EQ(gate("--against " + same + other), exit_pass) << printed();
  EXPECT_TRUE(says("was not qualified on this machine for the sweep") && says("sweep gate): false alarms in 0 of 3"))
      << printed();
  EXPECT_EQ(gate("--qualify --same-runs 2 --slowed-runs 1 --slowdowns 0.08" + other), exit_pass) << printed();
  EXPECT_TRUE(says("slowed by 8.0%: caught") && !says("slowed by 2.0%")) << printed();
  EXPECT_TRUE(std::filesystem::exists(this->path("state/normquant/nvidia_invented_580.1.other.json"))) << printed();
  EXPECT_EQ(gate("--against " + same + other), exit_pass) << printed();
  EXPECT_TRUE(says("false alarms in 0 of 2") && !says("was not qualified")) << printed();
  const std::string elsewhere = program("elsewhere", "FAKE_GPU=Another");
  EXPECT_EQ(gate("--qualification " + stored + " --against " + elsewhere + " --program " + elsewhere), exit_usage);
  EXPECT_TRUE(says("about another machine")) << printed();
  std::ofstream(stored) << "{";
  EXPECT_EQ(gate("--against " + same + " --program " + same), exit_usage) << "a corrupt qualification is not ignored";
}

TEST_F(GateCommand, AQualificationThatTimeCutShortSaysSo) {
  const std::string same = program("same", "");
  EXPECT_EQ(gate("--qualify --resume --program " + same + " --qualification " + path("q.json")), exit_usage);
  EXPECT_EQ(gate("--qualify --seconds 0.001 --program " + same + " --qualification " + path("q.json")),
            exit_inconclusive);
  EXPECT_TRUE(says("of 60 A/A runs")) << printed();
  const std::string resume = "--qualify --resume --program " + same + " --qualification " + path("q.json");
  EXPECT_EQ(gate(resume + " --blocks 3"), exit_usage) << "runs of another rule";
  EXPECT_EQ(gate(resume + " --slowdowns 0.02,0.03"), exit_usage) << "runs with other work added";
  EXPECT_EQ(gate(resume + " --same-runs 2 --slowed-runs 0"), exit_pass) << printed();
  EXPECT_TRUE(says("false alarms: 0 of 2")) << printed();
}

TEST_F(GateCommand, BaselinesAreKeptByGpuAndDriver) {
  const std::string record = path("new.jsonl"), folder = path("baselines");
  std::filesystem::create_directories(folder);
  std::ofstream(path("sweep"))
      << R"({"cases":[{"op":"forward","shapes":["2x2"],"dtypes":["float32"],"forms":["rms"]}]})";
  const auto bench = [&](const std::string& variables) {
    const std::string command =
        program("p", variables) + " bench --sweep " + path("sweep") + " --variant v --out " + record;
    return std::system(command.c_str());
  };
  ASSERT_EQ(bench("FAKE_DRIVER=1"), 0);
  const std::string compare = "--baseline " + folder + " --candidate " + record;
  EXPECT_EQ(gate(compare), exit_usage) << "nothing there yet";
  EXPECT_TRUE(says("nvidia_invented_1.jsonl")) << printed();
  EXPECT_EQ(gate(compare + " --adopt"), exit_pass);
  EXPECT_TRUE(says("NOTHING WAS COMPARED")) << printed();
  EXPECT_NE(gate(compare), exit_usage) << "now there is: " << printed();
  ASSERT_EQ(bench("FAKE_DRIVER=2"), 0);
  EXPECT_EQ(gate(compare), exit_usage) << "another driver has a baseline of its own";
}

TEST_F(GateCommand, OnlyGpuTimesOfRightResultsAreAdopted) {
  const std::string folder = path("baselines");
  std::filesystem::create_directories(folder);
  const std::string environment =
      R"({"kind":"environment","suite":"normquant","schema":1,"gpu":{"name":"NVIDIA Invented","driver":"1"}})";
  const auto timing = [](const std::string& kind, const std::string& verdict) {
    return R"({"kind":"timing","op":"o","variant":"v","shape":"1x1","dtype":"d","form":"f","time_kind":")" + kind +
           R"(","verdict":")" + verdict + R"(","samples":[1],"median_us":1,"q1_us":1,"q3_us":1})" + "\n";
  };
  const std::pair<std::string, const char*> refused[] = {
      {environment + "\n", "holds no time"},
      {environment + "\n" + timing("steady", "skipped"), "holds no time"},
      {environment + "\n" + timing("steady", "pass") + timing("steady", "wrong"), "is wrong"},
      {environment + "\n" + timing("steady", "pass") + timing("steady", "error"), "is error"},
      {environment + "\n" + timing("cpu_execution", "pass"), "CPU execution"},
      {R"({"kind":"environment","suite":"normquant","schema":1})"
       "\n" +
           timing("steady", "pass"),
       "names no GPU"}};
  for (const auto& [text, why] : refused) {
    std::ofstream(path("new.jsonl")) << text;
    EXPECT_EQ(gate("--adopt --baseline " + folder + " --candidate " + path("new.jsonl")), exit_usage) << text;
    EXPECT_TRUE(says(why)) << printed();
    EXPECT_TRUE(std::filesystem::is_empty(folder));
  }
  std::ofstream(path("new.jsonl")) << environment << "\n" << timing("steady", "pass");
  EXPECT_EQ(gate("--adopt --baseline " + folder + " --candidate " + path("new.jsonl")), exit_pass) << printed();
  EXPECT_FALSE(std::filesystem::is_empty(folder));
}

TEST_F(GateCommand, ACommitThatDoesNotBuildIsInfrastructure) {
  const std::string repository = path("repository");
  const std::string make =
      "mkdir -p " + repository + " && cd " + repository +
      " && git init -q . && echo 'message(FATAL_ERROR broken)' > CMakeLists.txt && git add . && git -c "
      "user.name=n -c user.email=e commit -q -m m >/dev/null 2>&1";
  if (std::system(make.c_str()) != 0) GTEST_SKIP() << "there is no git here";
  const std::string command =
      "cd " + repository + " && '" + NORMQUANT_PROGRAM + "' gate --against HEAD >" + path("printed") + " 2>&1";
  const int answer = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(answer), exit_infrastructure) << printed();
  EXPECT_TRUE(says("configure.txt")) << "the sentence names the log: " << printed();
}

TEST_F(GateCommand, WhatRunsTheSameCodeIsNotTimed) {
  if (std::system("g++ --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no g++ to make images with";
  // Object files of g++ stand in for the GPU's: a function has a section of its own there too.
  const auto image = [&](const std::string& program, int changed) {
    std::ofstream(path("image.cpp")) << "extern \"C\" { int kernel_norm_quant_forward(int x) { return x + 1; } int "
                                        "kernel_norm_quant_backward(int x) { return x + 2; } int "
                                        "kernel_activation_quant(int x) { return x + "
                                     << changed << "; } int kernel_weight_quant(int x) { return x + 4; } }";
    ASSERT_EQ(
        std::system(("g++ -O1 -ffunction-sections -c " + path("image.cpp") + " -o " + program + ".image").c_str()), 0);
  };
  std::ofstream(path("cuobjdump")) << "#!/bin/sh\ncp \"$3.image\" program.1.sm_90.cubin\n";
  std::filesystem::permissions(path("cuobjdump"), std::filesystem::perms::owner_all);
  setenv("NORMQUANT_CUOBJDUMP", path("cuobjdump").c_str(), 1);
  const std::string before = program("before", "FAKE_LAUNCHES=1"), after = program("after", "FAKE_LAUNCHES=1"),
                    slow = program("slow", "FAKE_LAUNCHES=1 FAKE_FACTOR=1.05"), old = program("old", "");
  for (const std::string& one : {before, after, old}) image(one, 3);
  image(slow, 30);
  const std::string files = " --force --junit " + path("j.xml") + " --against " + before + " --program ";
  EXPECT_EQ(gate(files + after), exit_pass) << printed();
  EXPECT_TRUE(says("of 5 cases are the same and not timed")) << printed();
  EXPECT_TRUE(says("; 5 of the same were not timed")) << printed();
  EXPECT_FALSE(std::filesystem::exists(path("count"))) << "no process timed anything";
  EXPECT_NE(content(path("j.xml")).find("SAME: same machine code, not timed"), std::string::npos);
  EXPECT_EQ(gate(files + slow), exit_regression) << "every case is slower, but only one kernel changed: " << printed();
  EXPECT_TRUE(says("SLOWER")) << printed();
  EXPECT_FALSE(says("5 slower")) << printed();
  EXPECT_EQ(gate(files + slow + " --time-all"), exit_regression);
  EXPECT_TRUE(says("5 slower")) << printed();
  EXPECT_EQ(gate(files + old), exit_pass) << printed();
  EXPECT_TRUE(says("not compared, so every case was timed") && says("built before there was this command"))
      << printed();
  std::ofstream(after + ".image") << "no image";
  EXPECT_EQ(gate(files + after), exit_pass) << printed();
  EXPECT_TRUE(says("not compared, so every case was timed")) << printed();
  setenv("NORMQUANT_CUOBJDUMP", path("none").c_str(), 1);
  EXPECT_EQ(gate(files + after), exit_pass) << printed();
  EXPECT_TRUE(says("there is no cuobjdump")) << printed();
  unsetenv("NORMQUANT_CUOBJDUMP");
}

TEST_F(GateCommand, EveryRefusalIsInJunit) {
  const std::string same = program("same", ""), junit = " --force --junit " + path("j.xml");
  const auto refused = [&](const std::string& arguments, int status) {
    std::filesystem::remove(path("j.xml"));
    EXPECT_EQ(gate(arguments + junit), status) << printed();
    EXPECT_NE(printed().find("normquant gate: "), std::string::npos) << "a sentence: " << printed();
    EXPECT_NE(content(path("j.xml")).find("errors=\"1\""), std::string::npos) << arguments << content(path("j.xml"));
  };
  refused("--baseline " + path("none.jsonl") + " --candidate " + path("none.jsonl"), exit_usage);
  refused("--baseline " + folder_ + " --candidate " + path("none.jsonl"), exit_usage);
  refused("--against " + path("none"), exit_usage);
  refused("", exit_usage);
  refused("--against " + same + " --min-effects " + path("none"), exit_usage);
  refused("--against " + same + " --program " + program("absent", "FAKE_STATUS=77"), exit_gpu_absent);
  refused("--against " + same + " --program " + program("broken", "FAKE_STATUS=5"), exit_infrastructure);
  refused("--against " + same + " --program " + program("wrong", "FAKE_WRONG=activation_quant"), exit_wrong_results);
  refused("--against " + same + " --program " + program("other", "FAKE_GPU=Another"), exit_usage);
}

TEST_F(GateCommand, ASearchForACommitSaysWhatItLacks) {
  EXPECT_EQ(gate("--bisect a b"), exit_usage);
  EXPECT_TRUE(says("--bisect GOOD BAD and --case go together")) << printed();
  EXPECT_EQ(gate("--bisect no-commit no-commit --case 'forward 1x1 float32 rms'"), exit_usage);
  EXPECT_TRUE(says("is no commit") || says("no git repository")) << printed();
  EXPECT_EQ(gate("--bisect a b --case 'forward'"), exit_usage);
}

}  // namespace
}  // namespace normquant::gate
