#include "output/claim.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "exit_status.hpp"

namespace normquant::output {
namespace {

/// What has been claimed, and by which name. Never destroyed: static outputs give theirs back at the end.
struct Claims {
  std::mutex mutex;
  std::map<std::string, std::string> path_of;
};
Claims& claims() {
  static auto& all = *new Claims;
  return all;
}

/// What a place is, whatever it is called; empty for what takes any number of outputs.
std::string key_of(const Place& place) {
  struct stat facts {};
  if (status_of(place, facts)) {
    constexpr unsigned memory_devices = 1, null_device = 3;
    if (S_ISCHR(facts.st_mode) && facts.st_rdev == makedev(memory_devices, null_device)) return {};
    return fmt::format("{}:{}", facts.st_dev, facts.st_ino);
  }
  std::error_code error;
  const std::filesystem::path path = std::filesystem::weakly_canonical(place.path, error);
  return error ? place.path : path.string();
}

}  // namespace

Claim::Claim(const std::string& path, const Place& place) : key_(key_of(place)) {
  if (key_.empty()) return;
  const std::lock_guard lock(claims().mutex);
  const auto [found, added] = claims().path_of.emplace(key_, path);
  if (added) return;
  key_.clear();
  const std::string& other = found->second;
  throw Refusal{exit_usage, other == path
                                ? fmt::format("{} is named for two outputs; give each a place of its own", path)
                                : fmt::format("{} and {} are the same place, and two outputs would mix there; "
                                              "give each a place of its own",
                                              other, path)};
}

Claim::~Claim() {
  if (key_.empty()) return;
  const std::lock_guard lock(claims().mutex);
  claims().path_of.erase(key_);
}

Claim::Claim(Claim&& other) noexcept : key_(std::exchange(other.key_, {})) {}

Claim& Claim::operator=(Claim&& other) noexcept {
  std::swap(key_, other.key_);
  return *this;
}

void refuse_to_mix(const std::vector<std::string>& paths) {
  std::vector<Claim> all;
  for (const std::string& path : paths) {
    if (!path.empty()) all.emplace_back(path, place_of(path));
  }
}

}  // namespace normquant::output
