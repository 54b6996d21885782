// Runs the program as a user does.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace normquant::tests {

struct Answer {
  int status = -1;     ///< 128 when a signal ended it
  std::string output;  ///< standard output and standard error
};

inline Answer run_program(const std::string& arguments) {
  Answer result;
  FILE* pipe = popen((std::string(NORMQUANT_PROGRAM) + " " + arguments + " 2>&1 </dev/null").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    result.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return result;
}

/// Expects the status, and a part of the sentence.
inline void expect_answer(const std::string& arguments, int status, const std::string& sentence_part) {
  const Answer r = run_program(arguments);
  EXPECT_EQ(r.status, status) << arguments << "\n" << r.output;
  EXPECT_NE(r.output.find(sentence_part), std::string::npos) << arguments << "\n" << r.output;
}

/// What a file holds; empty when it is not there.
inline std::string content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// A folder that is empty at first and gone afterwards.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("normquant_" + name + "_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace normquant::tests
