// Results of the program are neither lost nor mixed: files that are there, two writers, streams, full disks.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
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

/// A validation of a fraction of a second.
const std::string small = "validate --op activation_quant --variant auto --shape 3x20 --dtype bfloat16 ";

/// Status of a line of bash, in which $NQ is the program.
int bash(const std::string& line) {
  std::string quoted;
  for (const char c : "NQ=" NORMQUANT_PROGRAM "; " + line) c == '\'' ? quoted += "'\\''" : quoted += c;
  const int answer = std::system(("bash -c '" + quoted + "'").c_str());
  return WIFEXITED(answer) ? WEXITSTATUS(answer) : 128;
}

TEST(Outputs, AResultThatIsThereIsKept) {
  const ScratchFolder folder("outputs_kept");
  const std::string path = folder.file("kept");
  const std::string record = folder.file("r.jsonl");
  ASSERT_EQ(run_program("bench --device host --op forward --shape 2x64 --variant auto --out " + record).status, 0);
  std::ofstream(path) << "mine\n";
  for (const std::string& command :
       {small + "--json " + path, small + "--junit " + path, "report " + record + " --out " + path,
        "bench --device host --op forward --shape 2x64 --variant auto --out " + path,
        "bench --device host --op forward --shape 2x64 --variant auto --benchmark_out=" + path,
        "products --device host --shape 16x64x64 --out " + path, "oracle --elements 0 --json " + path,
        "tune --from " + record + " --out " + path, "merge " + record + " --out " + path}) {
    const Answer r = run_program(command);
    EXPECT_EQ(r.status, 2) << command << "\n" << r.output;
    EXPECT_EQ(content(path), "mine\n") << command;
  }
  expect_answer(small + "--json " + path, 2, "is there already and is not overwritten; give another name, or --force");
  EXPECT_EQ(run_program(small + "--json " + path + " --force").status, 0);
  EXPECT_TRUE(json::accept(content(path)));
  EXPECT_EQ(run_program("report " + record + " --format json --out " + path + " --force").status, 0);
  EXPECT_TRUE(json::parse(content(path)).contains("cases"));
}

TEST(Outputs, JsonOnStandardOutputIsJsonAlone) {
  const ScratchFolder folder("outputs_stdout");
  const std::string out = folder.file("out"), err = folder.file("err");
  for (const char* name : {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
    EXPECT_EQ(bash("$NQ " + small + "--json " + name + " >" + out + " 2>" + err), 0) << content(err);
    EXPECT_TRUE(json::accept(content(out))) << name << ": " << content(out);
    EXPECT_NE(content(err).find("passed, 0 wrong"), std::string::npos) << "the table is not lost";
  }
  EXPECT_EQ(bash("$NQ " + small + "--json >(cat >" + out + ") >" + err + "; sleep 0.2"), 0);
  EXPECT_TRUE(json::accept(content(out))) << content(out);
  const std::string bench = "$NQ bench --device host --op forward --shape 2x64 --variant auto --out ";
  EXPECT_EQ(bash(bench + "/dev/stdout >" + out + " 2>" + err), 0) << content(err);
  std::istringstream lines(content(out));
  int records = 0;
  for (std::string line; std::getline(lines, line); ++records) EXPECT_TRUE(json::accept(line)) << line;
  EXPECT_EQ(records, 6);
  EXPECT_EQ(bash("$NQ " + small + "--json " + out + " --force >" + out), 2) << "the table would be lost";
}

TEST(Outputs, TwoOutputsNeverMix) {
  const ScratchFolder folder("outputs_two");
  const std::string out = folder.file("out"), err = folder.file("err"), fifo = folder.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_symlink("fifo", folder.file("same_fifo"));
  const std::string bench = "bench --device host --op forward --shape 2x64 --variant auto ";
  for (const std::string& command :
       {small + "--json /dev/stdout --junit /dev/stdout", small + "--json /dev/stdout --junit -",
        small + "--json - --junit -", small + "--json /dev/fd/1 --junit /proc/self/fd/1",
        small + "--junit /dev/stdout --json " + out, small + "--json /dev/fd/3 --junit /dev/stdout 3>&1",
        small + "--json " + folder.file("x") + " --junit " + folder.file("./x"),
        small + "--json " + fifo + " --junit " + folder.file("same_fifo") + " & cat " + fifo + " >/dev/null; wait $!",
        bench + "--out /dev/stdout --benchmark_out=/dev/fd/1", bench + "--out - --benchmark_out=-",
        std::string("tune --device host --records - --out /dev/stdout"),
        std::string("gate --baseline x --candidate y --junit - --markdown /dev/stdout")}) {
    std::filesystem::remove(out);
    EXPECT_EQ(bash("{ $NQ " + command + "; } >" + out + " 2>" + err), 2) << command << "\n" << content(err);
    EXPECT_EQ(content(out), "") << command;
    const std::string said = content(err);
    EXPECT_TRUE(said.find("two outputs") != std::string::npos || said.find("goes already") != std::string::npos)
        << command << "\n"
        << said;
  }
  EXPECT_EQ(bash("$NQ " + small + "--json >(cat >" + out + ") --junit >(cat >" + err + "); sleep 0.2"), 0)
      << "two pipes are two";
  EXPECT_TRUE(json::accept(content(out))) << content(out);
  EXPECT_TRUE(content(err).starts_with("<?xml")) << content(err);
  EXPECT_EQ(bash("$NQ " + small + "--json /dev/null --junit /dev/null >/dev/null"), 0);
  EXPECT_EQ(bash("$NQ " + small + "--json - >" + out), 0);
  EXPECT_TRUE(json::accept(content(out))) << content(out);
  EXPECT_FALSE(std::filesystem::exists("-"));
}

TEST(Outputs, ATableIsLeftOutWhereItWouldMixWithResults) {
  const ScratchFolder folder("outputs_both");
  const std::string out = folder.file("out");
  EXPECT_EQ(bash("$NQ " + small + "--json /dev/stdout >" + out + " 2>&1"), 0);
  EXPECT_TRUE(json::accept(content(out))) << content(out);
  EXPECT_EQ(bash("$NQ bench --device host --op forward --shape 2x64 --variant auto --out /dev/fd/3 3>&1 >" + out +
                 " 3>&1 2>&1"),
            0);
  std::istringstream lines(content(out));
  for (std::string line; std::getline(lines, line);) EXPECT_TRUE(json::accept(line)) << line;
  EXPECT_EQ(bash("$NQ " + small + "--json /dev/null >" + out), 0);
  EXPECT_NE(content(out).find("passed, 0 wrong"), std::string::npos) << "/dev/null takes no table along";
}

TEST(Outputs, AFailureOfAnEarlierWriteIsNamed) {
  const ScratchFolder folder("outputs_earlier");
  const std::string err = folder.file("err");
  // More than a buffer, so that what fails is not the last write.
  for (const char* command : {"list", "bench --device host --op activation_quant --shape 2x64 --dtype bfloat16"}) {
    EXPECT_EQ(bash(std::string("$NQ ") + command + " >/dev/full 2>" + err), 5) << command;
    EXPECT_NE(content(err).find("No space left on device"), std::string::npos) << command << content(err);
    EXPECT_EQ(bash(std::string("$NQ ") + command + " 2>" + err + " >&-"), 5) << command;
    EXPECT_NE(content(err).find("Bad file descriptor"), std::string::npos) << command << content(err);
    EXPECT_EQ(bash(std::string("{ sleep 0.3; $NQ ") + command + " 2>" + err + "; echo $? >&2; } 2>" +
                   folder.file("status") + " | true"),
              0);
    EXPECT_EQ(content(folder.file("status")), "5\n") << command;
    EXPECT_NE(content(err).find("Broken pipe"), std::string::npos) << command << content(err);
  }
}

TEST(Outputs, AClosedOrFullStandardOutputIsStatusFiveAndLosesNoResult) {
  const ScratchFolder folder("outputs_full");
  const std::string err = folder.file("err");
  int number = 0;
  for (const char* where : {">&-", ">/dev/full", "| true; exit ${PIPESTATUS[0]}"}) {
    const std::string file = folder.file(std::to_string(++number));
    for (const std::string& command : {small + "--json " + file, std::string("list"), std::string("env"),
                                       std::string("--help"), std::string("man")}) {
      const int status = bash("$NQ " + command + " 2>" + err + " " + where);
      if (status == 0 && std::string(where)[0] == '|') continue;  // the reader may have taken what little there was
      EXPECT_EQ(status, 5) << command << where << content(err);
      EXPECT_NE(content(err).find("standard output"), std::string::npos) << command << where << content(err);
    }
    EXPECT_TRUE(json::accept(content(file))) << where << ": the results are whole, and nothing else: " << content(file);
  }
  const std::string records = folder.file("records");
  EXPECT_EQ(bash("$NQ bench --device host --op forward --shape 2x64 --variant auto --out " + records + " >&- 2>" + err),
            5);
  std::istringstream lines(content(records));
  for (std::string line; std::getline(lines, line);) EXPECT_TRUE(json::accept(line)) << line;
}

TEST(Outputs, ALimitOfTheSizeOfFilesIsStatusFive) {
  const ScratchFolder folder("outputs_limit");
  const std::string err = folder.file("err"), file = folder.file("x");
  for (const std::string& command : {small + "--json " + file, small + "--junit " + file, "list >" + file,
                                     "bench --device host --op forward --shape 2x64 --out " + file + " >/dev/null"}) {
    std::filesystem::remove(file);
    EXPECT_EQ(bash("(ulimit -f 1; $NQ " + command + ") 2>" + err), 5) << command << content(err);
    EXPECT_NE(content(err).find("File too large"), std::string::npos) << command << content(err);
    EXPECT_FALSE(std::filesystem::exists(file + ".partial")) << command;
    EXPECT_FALSE(std::filesystem::exists(file + ".lock")) << command;
  }
}

#ifndef __SANITIZE_ADDRESS__  // it takes terabytes of addresses for itself
TEST(Outputs, WhereMemoryEndsTheCaseIsAnErrorAndTheRestGoesOn) {
  const ScratchFolder folder("outputs_memory");
  const std::string out = folder.file("out"), tail = " x=float32 weight=float32 out=float32 eps=1e-05'";
  const std::string command =
      "$NQ validate --device host --jobs 2 --no-limit --variant '^one_pass_e(8|32)$'"
      " --case 'op=norm_quant_forward shape=256x4096" +
      tail + " --case 'op=norm_quant_forward shape=16x256" + tail;
  int lacked = 0;
  for (int limit = 100; limit <= 240; limit += 10) {  // megabytes: from too few to begin to enough
    const int status = bash("(ulimit -v " + std::to_string(limit) + "000; " + command + ") >" + out + " 2>&1");
    const std::string said = content(out);
    EXPECT_TRUE(status == 0 || status == 5 || status == 127) << limit << " MB: " << status << said;
    if (said.find("ended in an error") == std::string::npos) continue;
    ++lacked;
    EXPECT_NE(said.find("out of memory: "), std::string::npos) << limit << " MB: " << said;
    EXPECT_NE(said.find(" passed, 0 wrong"), std::string::npos) << limit << " MB: " << said;
    EXPECT_EQ(said.find("\n0 passed"), std::string::npos) << "the small case has room at " << limit << " MB: " << said;
  }
  EXPECT_GT(lacked, 0) << "no limit was met in a check: the test proves nothing";
}
#endif

TEST(Outputs, TheSentenceComesBehindWhatWasPrinted) {
  const ScratchFolder folder("outputs_order");
  const std::string out = folder.file("out");
  EXPECT_EQ(bash("$NQ validate --op forward --variant '^one_pass_e8$' --shape 2x3 --dtype bfloat16 >" + out + " 2>&1"),
            2);
  const std::string text = content(out);
  EXPECT_LT(text.find(" skipped\n"), text.find("normquant validate: nothing was checked")) << text;
}

TEST(Outputs, NothingIsGoneOnWithInAStream) {
  const std::string bench = "bench --device host --op forward --shape 2x64 --variant auto ";
  for (const char* stream : {"-", "/dev/stdout", "/dev/null", "/dev/fd/2"}) {
    expect_answer(small + "--resume --json " + stream, 2, "--resume needs a file as --json");
    expect_answer(bench + "--resume --out " + stream, 2, "need a file as --out");
    expect_answer(bench + "--case-timeout 9 --out " + stream, 2, "need a file as --out");
  }
}

TEST(Outputs, AFullDiskIsStatusFive) {
  for (const std::string& command :
       {small + "--json /dev/full", small + "--junit /dev/full",
        std::string("bench --device host --op forward --shape 2x64 --variant auto --out /dev/full")}) {
    const Answer r = run_program(command);
    EXPECT_EQ(r.status, 5) << command << r.output;
    EXPECT_NE(r.output.find("No space left"), std::string::npos) << r.output;
  }
}

TEST(Outputs, ResumingRefusesWhatIsOfAnotherRun) {
  const ScratchFolder folder("outputs_other");
  const std::string file = folder.file("v.json");
  ASSERT_EQ(run_program(small + "--json " + file).status, 0);
  const std::string ours = content(file);
  expect_answer(small + "--schedule-seed 2 --resume --json " + file, 2, "other switches");
  expect_answer(small + "--seed 2 --resume --json " + file, 2, "results that this run does not ask for");
  EXPECT_EQ(content(file), ours);
  for (const char* text : {"hello", "[1]", "{}", "{\"schema\":\"normquant.validate/1\"}", "{\"schema\":3}"}) {
    std::ofstream(file) << text;
    expect_answer(small + "--resume --json " + file, 2, "left as it is");
    EXPECT_EQ(content(file), text);
  }
  expect_answer(small + "--resume", 2, "--json");
}

TEST(Outputs, ValidateStopsNamesTheSlowestAndTakesAPart) {
  expect_answer(small + "--slowest 3", 0, "slowest:");
  const Answer all = run_program("validate --op activation_quant --shape 3x20 --dry-run");
  std::size_t lines = 0, of_shards = 0;
  for (const char c : all.output) lines += c == '\n' ? 1 : 0;
  for (const char* shard : {"1/3", "2/3", "3/3"}) {
    const Answer part =
        run_program(std::string("validate --op activation_quant --shape 3x20 --dry-run --shard ") + shard);
    for (const char c : part.output) of_shards += c == '\n' ? 1 : 0;
  }
  EXPECT_EQ(lines, of_shards);
  expect_answer(small + "--shard 4/3", 2, "is not a shard");
  expect_answer(small + "--shard 99/100", 0, "holds no case");
  const std::string mistakes = " --plugin " NORMQUANT_BUILD_DIR "/tests/plugins/mistakes.so";
  if (!std::filesystem::exists(NORMQUANT_BUILD_DIR "/tests/plugins/mistakes.so")) GTEST_SKIP() << "no plugin was built";
  const Answer fast =
      run_program("validate --fail-fast --jobs 1 --op activation_quant --variant '^mistakes:truncates$'" + mistakes);
  EXPECT_EQ(fast.status, 1) << fast.output;
  EXPECT_NE(fast.output.find("NOT RUN: "), std::string::npos) << fast.output;
}

}  // namespace
}  // namespace normquant
