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
#include "output/output_file.hpp"
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

/// Value of a variable in the CMakeCache.txt of this program's build folder; empty when there is none.
std::string cached(const std::string& cache, const std::string& name) {
  const std::size_t at = ("\n" + cache).find("\n" + name + ":");
  if (at == std::string::npos) return {};
  const std::string line = cache.substr(at, cache.find('\n', at) - at);
  const std::size_t equals = line.find('=');
  return equals == std::string::npos ? "" : line.substr(equals + 1);
}

/// Path of a program on PATH; empty when it is not there.
std::string on_path(const std::string& name, const std::string& folder) {
  return answer_of({"/bin/sh", "-c", "command -v \"$1\"", "sh", name}, folder);
}

/// What CMake is told: what this program's build folder was told, else a release for the GPU architectures of this program.
/// A compiler cache is used where this build uses one, or where one is installed.
std::vector<std::string> options_like_ours(const std::string& folder) {
  const std::filesystem::path own = std::filesystem::path(bench::own_program()).parent_path();
  const std::string cache = reports::read_whole((own / "CMakeCache.txt").string()).value_or("");
  std::vector<std::string> options = {"-DNORMQUANT_TESTS=OFF"};
  const auto add = [&options](const std::string& name, const std::string& value) {
    if (!value.empty()) options.push_back(fmt::format("-D{}={}", name, value));
  };
  const std::string type = cached(cache, "CMAKE_BUILD_TYPE"), generator = cached(cache, "CMAKE_GENERATOR");
  add("CMAKE_BUILD_TYPE", type.empty() ? "Release" : type);
  add("CMAKE_CUDA_ARCHITECTURES", bench::cuda_architectures());
  for (const char* name : {"CMAKE_CXX_COMPILER", "CMAKE_CUDA_COMPILER", "CMAKE_CXX_FLAGS", "CMAKE_CUDA_FLAGS",
                           "CMAKE_UNITY_BUILD", "CMAKE_UNITY_BUILD_BATCH_SIZE", "NORMQUANT_CUDA"}) {
    add(name, cached(cache, name));
  }
  std::string installed = on_path("ccache", folder);
  if (installed.empty()) installed = on_path("sccache", folder);
  for (const char* language : {"CXX", "CUDA"}) {
    const std::string name = fmt::format("CMAKE_{}_COMPILER_LAUNCHER", language);
    const std::string ours = cached(cache, name);
    add(name, ours.empty() ? installed : ours);
  }
  if (!generator.empty()) options.push_back("-G" + generator);
  return options;
}

ReferenceProgram build(const std::string& root, const std::string& commit, const std::string& folder) {
  const std::string place = root + "/build/against/" + commit.substr(0, 12);
  const std::string source = place + "/source", build = place + "/build", program = build + "/normquant";
  const std::vector<std::string> options = options_like_ours(folder);
  const std::string told = fmt::format("{}\n", fmt::join(options, "\n")), told_file = place + "/options.txt";
  if (access(program.c_str(), X_OK) == 0 && reports::read_whole(told_file) == told) return {program, exit_pass, ""};
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
  // Other options leave nothing of an earlier build.
  std::filesystem::remove_all(build, error);
  std::vector<std::string> configure = {"cmake", "-S", source, "-B", build};
  configure.insert(configure.end(), options.begin(), options.end());
  if (!step(configure, place + "/configure.txt", why)) return refused(exit_infrastructure, why);
  const std::string jobs = std::to_string(std::max(1U, std::thread::hardware_concurrency()));
  // Paths below `place` are the same for every commit, so that a cache serves one commit with what another compiled.
  if (!step({"env", "CCACHE_BASEDIR=" + place, "CCACHE_NOHASHDIR=1", "cmake", "--build", build, "--target", "normquant",
             "-j", jobs},
            place + "/build.txt", why)) {
    return refused(exit_infrastructure, why);
  }
  output::write_document(told_file, told, output::Existing::replace);
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
  return build(root, commit, folder);
}

}  // namespace normquant::gate
