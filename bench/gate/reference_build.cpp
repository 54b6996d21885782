#include "bench/gate/reference_build.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <thread>
#include <vector>

#include "bench/child_process.hpp"
#include "bench/environment.hpp"
#include "exit_status.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

ReferenceProgram refused(int status, std::string why) { return {"", status, std::move(why)}; }

/// First line that a command prints; empty when it fails.
std::string answer_of(std::vector<std::string> command, const std::string& folder) {
  bench::ChildRequest request;
  request.arguments = std::move(command);
  request.output = folder + "/answer.txt";
  std::string why;
  const auto end = bench::run_child(request, why);
  if (!end || end->status != 0) return {};
  const std::string content = reports::read_whole(request.output).value_or("");
  return content.substr(0, content.find('\n'));
}

/// Runs a step of the build; its messages go to a file that the sentence names. True when it succeeded.
bool step(std::vector<std::string> command, const std::string& log, std::string& why) {
  bench::ChildRequest request;
  const std::string name = command.front() + " " + command[1];
  request.arguments = std::move(command);
  request.output = log;
  const auto end = bench::run_child(request, why);
  if (!end) return false;
  if (end->status == 0) return true;
  why = fmt::format("`{}` ended with status {}; what it said is in {}", name, end->status, log);
  return false;
}

ReferenceProgram build(const std::string& root, const std::string& commit) {
  const std::string place = root + "/build/against/" + commit.substr(0, 12);
  const std::string source = place + "/source", build = place + "/build", program = build + "/normquant";
  if (access(program.c_str(), X_OK) == 0) return {program, exit_pass, ""};
  std::error_code error;
  std::filesystem::create_directories(place, error);
  if (error) return refused(exit_infrastructure, fmt::format("cannot make the folder {}: {}", place, error.message()));
  std::fprintf(stderr, "normquant gate: building %.12s in %s\n", commit.c_str(), build.c_str());
  std::string why;
  if (!std::filesystem::exists(source + "/CMakeLists.txt") &&
      !step({"git", "-C", root, "worktree", "add", "--force", "--detach", source, commit}, place + "/checkout.txt",
            why)) {
    return refused(exit_infrastructure, why);
  }
  std::vector<std::string> configure = {
      "cmake", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DNORMQUANT_TESTS=OFF"};
  if (const std::string architectures = bench::cuda_architectures(); !architectures.empty()) {
    configure.push_back("-DCMAKE_CUDA_ARCHITECTURES=" + architectures);
  }
  if (!step(configure, place + "/configure.txt", why)) return refused(exit_infrastructure, why);
  const std::string jobs = std::to_string(std::max(1U, std::thread::hardware_concurrency()));
  if (!step({"cmake", "--build", build, "--target", "normquant", "-j", jobs}, place + "/build.txt", why)) {
    return refused(exit_infrastructure, why);
  }
  return {program, exit_pass, ""};
}

}  // namespace

ReferenceProgram reference_program(const std::string& text, const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(text, ignored)) {
    if (access(text.c_str(), X_OK) == 0) return {std::filesystem::absolute(text).string(), exit_pass, ""};
    return refused(exit_usage, fmt::format("--against {}: the file cannot be executed", text));
  }
  const std::string root = answer_of({"git", "rev-parse", "--show-toplevel"}, folder);
  const std::string commit = root.empty() || text.starts_with('-')
                                 ? ""
                                 : answer_of({"git", "rev-parse", "--verify", "--quiet", text + "^{commit}"}, folder);
  if (commit.empty()) {
    return refused(exit_usage,
                   fmt::format("--against {}: this is neither a program nor a commit of a git repository here", text));
  }
  return build(root, commit);
}

}  // namespace normquant::gate
