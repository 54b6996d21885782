// Results go through one module: streams are written to and never replaced, links followed, results not overwritten, one writer.
#include "output/output_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "exit_status.hpp"
#include "output/line_file.hpp"
#include "refusal.hpp"
#include "run_program.hpp"

namespace normquant::output {
namespace {

using tests::ScratchFolder;

std::string content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// The status that opening is refused with, and its sentence; 0 when it is not.
std::pair<int, std::string> refusal(const std::string& path, Existing existing = Existing::refuse) {
  try {
    OutputFile file;
    file.open(path, existing);
  } catch (const Refusal& refused) {
    return {refused.status, refused.sentence};
  }
  return {0, ""};
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(OutputFile, AppearsWholeOrNotAtAll) {
  const ScratchFolder folder("output_whole");
  {
    OutputFile file;
    file.open(folder.file("a"), Existing::refuse);
    EXPECT_FALSE(std::filesystem::exists(folder.file("a")));
  }
  EXPECT_TRUE(names_in(folder.file("")).empty()) << "nothing is left behind";
  write_document(folder.file("a"), "text\n", Existing::refuse);
  EXPECT_EQ(content(folder.file("a")), "text\n");
  EXPECT_EQ(names_in(folder.file("")), std::vector<std::string>{"a"});
}

TEST(OutputFile, AResultIsOverwrittenByForceAlone) {
  const ScratchFolder folder("output_force");
  const std::string path = folder.file("a");
  std::ofstream(path) << "mine";
  const auto [status, sentence] = refusal(path);
  EXPECT_EQ(status, exit_usage);
  EXPECT_NE(sentence.find("--force"), std::string::npos) << sentence;
  EXPECT_EQ(content(path), "mine");
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  write_document(path, "new", Existing::replace);
  EXPECT_EQ(content(path), "new");
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0640U) << "it keeps its permissions";
  std::ofstream(folder.file("empty")).flush();
  EXPECT_EQ(refusal(folder.file("empty")).first, 0) << "an empty file, as mktemp makes, holds no result";
}

TEST(OutputFile, LinksAreFollowedAlsoWhereTheirTargetIsNotThere) {
  const ScratchFolder folder("output_links");
  std::filesystem::create_directories(folder.file("there"));
  std::filesystem::create_symlink("there/b", folder.file("a"));
  std::filesystem::create_symlink("a", folder.file("to_a"));
  write_document(folder.file("to_a"), "1", Existing::refuse);
  EXPECT_EQ(content(folder.file("there/b")), "1");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("a"))) << "the link is still one";
  EXPECT_EQ(refusal(folder.file("a")).first, exit_usage);
  write_document(folder.file("a"), "2", Existing::replace);
  EXPECT_EQ(content(folder.file("there/b")), "2");
  std::filesystem::create_symlink("round", folder.file("round"));
  EXPECT_EQ(refusal(folder.file("round")).first, exit_infrastructure);
}

TEST(OutputFile, StreamsAreWrittenToAndNeverReplaced) {
  const ScratchFolder folder("output_streams");
  write_document("/dev/null", "text", Existing::refuse);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const std::string fifo = folder.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::string read;
  std::thread reader([&] { read = content(fifo); });
  write_document(fifo, "through the pipe", Existing::refuse);
  reader.join();
  EXPECT_EQ(read, "through the pipe");
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  const std::string path = folder.file("by_number");
  const int number = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  write_document("/dev/fd/" + std::to_string(number), "a", Existing::refuse);
  write_document("/proc/self/fd/" + std::to_string(number), "b", Existing::refuse);
  close(number);
  EXPECT_EQ(content(path), "ab");
  EXPECT_EQ(names_in(folder.file("")).size(), 2U);
}

TEST(OutputFile, WhatCannotBeWrittenIsInfrastructure) {
  const ScratchFolder folder("output_unwritable");
  for (const std::string& path : {folder.file("no/such/folder"), folder.file(""), std::string("/"),
                                  std::string("/dev/fd/987"), std::string("/proc/self/status")}) {
    const auto [status, sentence] = refusal(path);
    EXPECT_EQ(status, exit_infrastructure) << path << ": " << sentence;
    EXPECT_NE(sentence.find("cannot write"), std::string::npos) << path << ": " << sentence;
  }
  EXPECT_EQ(refusal("").first, 0) << "no file was asked for";
  if (access("/dev/full", W_OK) != 0) return;
  try {
    write_document("/dev/full", "text", Existing::refuse);
    FAIL() << "a full device took it";
  } catch (const Refusal& refused) {
    EXPECT_EQ(refused.status, exit_infrastructure);
    EXPECT_NE(refused.sentence.find("No space left"), std::string::npos) << refused.sentence;
  }
}

TEST(OutputFile, ASecondWriterIsRefusedWithTheFirstOnesName) {
  const ScratchFolder folder("output_two");
  const std::string path = folder.file("a");
  int ready[2] = {-1, -1}, go[2] = {-1, -1};
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  const pid_t other = fork();
  if (other == 0) {
    OutputFile file;
    file.open(path, Existing::refuse);
    char byte = 'r';
    if (write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1) file.commit("theirs");
    _exit(0);  // as a crash: the lock's file stays
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto [status, sentence] = refusal(path);
  EXPECT_EQ(status, exit_infrastructure);
  EXPECT_NE(sentence.find("being written by process " + std::to_string(other)), std::string::npos) << sentence;
  EXPECT_NE(sentence.find(" since 20"), std::string::npos) << sentence;
  ASSERT_EQ(write(go[1], &byte, 1), 1);
  ASSERT_EQ(waitpid(other, nullptr, 0), other);
  EXPECT_EQ(content(path), "theirs");
  write_document(path, "ours", Existing::replace);  // what the other left behind stops nobody
  EXPECT_EQ(names_in(folder.file("")), std::vector<std::string>{"a"});
}

TEST(Lock, GoneByHandItLeavesTheNextOnesAlone) {
  const ScratchFolder folder("lock_removed");
  auto first = std::make_unique<Lock>(folder.file("a"));
  std::filesystem::remove(folder.file("a.lock"));  // somebody took the process for dead
  const Lock second(folder.file("a"));
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(folder.file("a.lock"))) << "it is the second one's";
}

TEST(OutputFile, ALockOfAnotherHostIsRespected) {
  const ScratchFolder folder("output_host");
  std::ofstream(folder.file("a.lock")) << "elsewhere 12 2026-01-01T00:00:00Z\n";
  const auto [status, sentence] = refusal(folder.file("a"));
  EXPECT_EQ(status, exit_infrastructure);
  EXPECT_NE(sentence.find("process 12 on elsewhere since 2026-01-01T00:00:00Z"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("remove"), std::string::npos) << sentence;
  EXPECT_TRUE(std::filesystem::exists(folder.file("a.lock")));
}

TEST(OutputFile, OneFileForTwoOutputsIsRefused) {
  const ScratchFolder folder("output_same");
  OutputFile file;
  file.open(folder.file("a"), Existing::refuse);
  const auto [status, sentence] = refusal(folder.file("a"));
  EXPECT_EQ(status, exit_usage);
  EXPECT_NE(sentence.find("two outputs"), std::string::npos) << sentence;
}

TEST(LineFile, GoesOnBehindWhatIsKept) {
  const ScratchFolder folder("output_lines");
  const std::string path = folder.file("a");
  {
    LineFile file;
    file.open(path, Existing::refuse);
    EXPECT_TRUE(file.write("one"));
    EXPECT_EQ(content(path), "one\n") << "while it is open";
  }
  std::ofstream(path, std::ios::app) << "cut o";
  EXPECT_EQ(whole_lines(path), 4U);
  {
    LineFile file;
    file.open_behind(path, whole_lines(path));
    EXPECT_TRUE(file.write("two"));
  }
  EXPECT_EQ(content(path), "one\ntwo\n");
  LineFile again;
  EXPECT_THROW(again.open(path, Existing::refuse), Refusal);
  EXPECT_THROW(again.open_behind("/dev/null", 0), Refusal);
  EXPECT_EQ(names_in(folder.file("")), std::vector<std::string>{"a"});
}

TEST(LineFile, AFullDiskLeavesWholeLines) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  LineFile file;
  file.open("/dev/full", Existing::refuse);
  EXPECT_FALSE(file.write("one"));
  EXPECT_FALSE(file.write("two"));
  EXPECT_NE(file.failure().find("No space left"), std::string::npos) << file.failure();
}

TEST(AppendDocument, KeepsWhatOthersWrote) {
  const ScratchFolder folder("output_append");
  append_document(folder.file("a"), "one\n");
  append_document(folder.file("a"), "two\n");
  EXPECT_EQ(content(folder.file("a")), "one\ntwo\n");
}

}  // namespace
}  // namespace normquant::output
