// A run that is interrupted or killed keeps what it had finished, and the same command goes on from there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using nlohmann::json;
using tests::Answer;
using tests::content;
using tests::expect_answer;
using tests::run_program;
using tests::ScratchFolder;

/// The program with these arguments, as a child.
class Running {
 public:
  Running(const std::vector<std::string>& arguments, const std::string& printed) {
    std::vector<std::string> all = {NORMQUANT_PROGRAM};
    all.insert(all.end(), arguments.begin(), arguments.end());
    child_ = fork();
    if (child_ != 0) return;
    for (const int ending : {SIGINT, SIGTERM}) signal(ending, SIG_DFL);  // not those of a job in the background
    const int file = open(printed.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  void send(int signal) const {
    if (!ended_) kill(child_, signal);
  }
  /// However slow the machine is: until it is there, or the program has ended without it.
  void wait_until(const std::function<bool()>& there) {
    while (!there() && !ended_) {
      ended_ = waitpid(child_, &answer_, WNOHANG) == child_;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  /// The signal that ended it; minus its status when none did.
  int end() {
    if (!ended_) ended_ = waitpid(child_, &answer_, 0) == child_;
    return WIFSIGNALED(answer_) ? WTERMSIG(answer_) : -WEXITSTATUS(answer_);
  }

 private:
  pid_t child_;
  bool ended_ = false;
  int answer_ = 0;
};

const std::vector<std::string> long_validation = {"validate", "--op", "weight_quant", "--suite", "smoke",
                                                  "--jobs",   "1"};

TEST(Interruptions, AnInterruptedValidationIsKeptAndGoesOn) {
  const ScratchFolder folder("outputs_interrupted");
  const std::string file = folder.file("v.json"), printed = folder.file("printed");
  for (const int signal : {SIGTERM, SIGINT}) {
    std::filesystem::remove(file);
    std::vector<std::string> arguments = long_validation;
    arguments.insert(arguments.end(), {"--json", file});
    Running running(arguments, printed);
    running.wait_until([&] { return std::filesystem::exists(file + ".partial") || std::filesystem::exists(file); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    running.send(signal);
    ASSERT_EQ(running.end(), signal) << "as the shell expects it; or it was too fast: " << content(printed);
    EXPECT_NE(content(printed).find("--resume goes on"), std::string::npos) << content(printed);
    EXPECT_FALSE(std::filesystem::exists(file + ".partial"));
    EXPECT_FALSE(std::filesystem::exists(file + ".lock"));
    const json document = json::parse(content(file));
    EXPECT_GT(document["summary"]["not_run"], 0);
    EXPECT_EQ(document["summary"]["why_not_run"], "interrupted");
  }
  const std::int64_t before = json::parse(content(file))["summary"]["passed"];
  std::string command;
  for (const std::string& word : long_validation) command += word + " ";
  expect_answer(command + "--json " + file, 2, "--force");
  const Answer resumed = run_program(command + "--resume --json " + file);
  EXPECT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_EQ(before > 0, resumed.output.find("were finished before") != std::string::npos) << resumed.output;
  const std::string whole = folder.file("whole.json");
  ASSERT_EQ(run_program(command + "--json " + whole).status, 0);
  const json a = json::parse(content(file)), b = json::parse(content(whole));
  EXPECT_EQ(a["summary"], b["summary"]);
  EXPECT_EQ(a["variants"], b["variants"]);
  EXPECT_EQ(a["skipped"], b["skipped"]);
}

TEST(Interruptions, AKilledValidationGoesOnFromWhatItHadFinished) {
  const ScratchFolder folder("outputs_killed");
  const std::string file = folder.file("v.json"), printed = folder.file("printed");
  std::vector<std::string> arguments = long_validation;
  arguments.insert(arguments.end(), {"--json", file});
  Running running(arguments, printed);
  running.wait_until([&] { return std::filesystem::exists(file); });
  running.send(SIGKILL);
  ASSERT_EQ(running.end(), SIGKILL) << "it was too fast: " << content(printed);
  const json left = json::parse(content(file));
  EXPECT_GT(left["summary"]["passed"], 0);
  EXPECT_GT(left["summary"]["not_run"], 0);
  EXPECT_EQ(left["summary"]["why_not_run"], "the run had not ended when this was written");
  std::string command;
  for (const std::string& word : arguments) command += word + " ";
  const Answer resumed = run_program(command + "--resume");
  EXPECT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("were finished before"), std::string::npos) << resumed.output;
  EXPECT_FALSE(json::parse(content(file))["summary"].contains("not_run"));
}

TEST(Interruptions, AnInterruptedSweepTakesItsChildrenAlong) {
  const ScratchFolder folder("outputs_children");
  const std::string file = folder.file("t.jsonl"), printed = folder.file("printed");
  // The second case takes the host device many seconds.
  const std::vector<std::string> sweep = {"bench",   "--device",       "host",    "--op",       "activation_quant",
                                          "--shape", "2x64",           "--shape", "2000x16384", "--variant",
                                          "auto",    "--case-timeout", "100",     "--out",      file};
  Running running(sweep, printed);
  running.wait_until([&] { return content(file + ".running").find("2000x16384") != std::string::npos; });
  std::string child;
  std::istringstream(content(file + ".lock")) >> child >> child;
  ASSERT_FALSE(child.empty()) << content(printed);
  running.send(SIGTERM);
  EXPECT_EQ(running.end(), SIGTERM) << content(printed);
  EXPECT_NE(kill(std::stoi(child), 0), 0) << "the child is gone";
  for (const char* left : {".running", ".lock", ".partial"}) EXPECT_FALSE(std::filesystem::exists(file + left)) << left;
  EXPECT_NE(content(printed).find("--resume goes on"), std::string::npos) << content(printed);
  std::istringstream lines(content(file));
  int records = 0;
  for (std::string line; std::getline(lines, line); ++records) EXPECT_TRUE(json::accept(line)) << line;
  EXPECT_EQ(records, 3) << "the environment, and the first shape's two forms: " << content(file);
}

}  // namespace
}  // namespace normquant
