#include "host/watch/places.hpp"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <memory>
#include <sstream>

namespace normquant::host_exec::watch {
namespace {

/// "file:line" of every function that the compiler merged into one another before `after`, innermost first.
std::vector<std::string> lines_before(const void* after) {
  Dl_info info = {};
  if (dladdr(after, &info) == 0 || info.dli_fname == nullptr) return {};
  // The instruction before the return address.
  const auto address = reinterpret_cast<std::uintptr_t>(after) - reinterpret_cast<std::uintptr_t>(info.dli_fbase) - 1;
  std::ostringstream command;
  command << "addr2line -i -e '" << info.dli_fname << "' 0x" << std::hex << address << " 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.str().c_str(), "r"), pclose);
  std::vector<std::string> lines;
  std::array<char, 4096> line = {};
  while (pipe != nullptr && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::string text = line.data();
    text = text.substr(0, text.find_first_of(" \n"));  // a discriminator may follow
    if (text.find('?') == std::string::npos) lines.push_back(text.substr(text.rfind('/') + 1));
  }
  return lines;
}

bool is_kernel(const std::string& line) { return line.find(".cu:") != std::string::npos; }
bool is_told(const std::string& line) { return is_kernel(line) || line.find(".cuh:") != std::string::npos; }

std::string address_of(const void* after) {
  std::ostringstream text;
  text << "the code before " << after;
  return text.str();
}

}  // namespace

std::uint32_t Places::look_up(std::uint64_t key, std::uint32_t caller, const void* after) {
  const auto [found, is_new] = numbers_.try_emplace(key, static_cast<std::uint32_t>(places_.size()));
  if (is_new) places_.push_back({caller, after});
  return found->second;
}

std::string Places::text(std::uint32_t place) const {
  if (place == 0) return "no kernel";
  std::string innermost;
  for (std::uint32_t at = place; at != 0; at = places_[at].caller) {
    for (const std::string& line : lines_before(places_[at].after)) {
      if (!is_told(line)) continue;
      if (innermost.empty()) innermost = line;
      if (is_kernel(line)) return line == innermost ? line : line + ", in " + innermost;
    }
  }
  return innermost.empty() ? address_of(places_[place].after) : innermost;
}

}  // namespace normquant::host_exec::watch
