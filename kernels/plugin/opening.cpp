// Opening a plugin: a process of its own loads it and describes it, one line; the rows of this process are made from that.
#include <fmt/format.h>

#include <charconv>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <utility>

#include "plugin/loading.hpp"
#include "plugin/plugins.hpp"
#include "plugin/worker.hpp"

namespace normquant::plugins {
namespace {

constexpr char between_variants = '\x1e', between_fields = '\x1f';
constexpr std::string_view refused = "refused: ";

std::string as_text(const Described& d) {
  return fmt::format("{}{sep}{}{sep}{:d}{sep}{:d}{sep}{:d}{sep}{}{sep}{}", d.operation, d.devices, d.reproducible,
                     d.row_invariant, d.multiplies_codes, d.serves_formats, d.name, d.summary,
                     fmt::arg("sep", between_fields));
}

Described from_text(const std::string& text) {
  std::istringstream fields(text);
  const auto field = [&fields] {
    std::string value;
    std::getline(fields, value, between_fields);
    return value;
  };
  const auto number = [&field] {
    const std::string digits = field();
    int value = 0;
    (void)std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  Described d;
  d.operation = number();
  d.devices = static_cast<std::uint32_t>(number());
  d.reproducible = number() != 0;
  d.row_invariant = number() != 0;
  d.multiplies_codes = number() != 0;
  d.serves_formats = number() != 0;
  d.name = field();
  d.summary = field();
  return d;
}

std::string as_hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned char byte = 0;
    (void)std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

/// The processes that described the plugins, by file: they go on to say which problems a variant serves.
class Describers {
 public:
  static Describers& all() {
    static Describers one;
    return one;
  }

  void keep(const std::string& file, std::unique_ptr<Worker> worker, double seconds) {
    workers_[file] = std::move(worker);
    seconds_ = seconds;
    ask_elsewhere([this](const std::string& variant, std::string_view args, std::string_view device) {
      return why_not(variant, args, device);
    });
  }

 private:
  /// A process that is lost over the question has none that could answer: the check says so then, case by case.
  std::string why_not(const std::string& variant, std::string_view args, std::string_view device) {
    const std::lock_guard lock(mutex_);
    const auto worker = workers_.find(file_of(variant));
    if (worker == workers_.end() || worker->second == nullptr) return {};
    std::string answer, why;
    const std::string request = fmt::format("{} {} {}", variant, as_hex(args), as_hex(device));
    if (worker->second->ask(request, seconds_, answer, why)) return answer;
    worker->second.reset();
    return {};
  }

  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Worker>> workers_;
  double seconds_ = default_seconds;
};

bool open_one(const std::string& path, double seconds, std::string& why) {
  auto worker = Worker::start({worker_command, "--plugin", path, "--role", "describe"}, why);
  if (worker == nullptr) return false;
  std::string description, ended;
  if (!worker->ask("describe", seconds, description, ended)) {
    why = fmt::format("cannot use the plugin {}: loading it {}", path, ended);
    return false;
  }
  if (description.starts_with(refused)) {
    why = description.substr(refused.size());
    return false;
  }
  std::istringstream variants(description);
  std::string rule;
  for (std::string text; std::getline(variants, text, between_variants);) {
    if (add(from_text(text), path, nullptr, rule)) continue;
    why = fmt::format("cannot use the plugin {}: {}", path, rule);
    return false;
  }
  Describers::all().keep(path, std::move(worker), seconds);
  return true;
}

}  // namespace

bool open(const std::vector<std::string>& paths, double seconds, std::string& why) {
  for (const std::string& path : paths) {
    if (!open_one(path, seconds, why)) return false;
  }
  return true;
}

bool load_and_describe(Requests& requests, const std::string& path) {
  std::string request, why;
  if (!requests.next(request)) return false;
  requests.begin();
  const bool loaded = load(path, why);
  std::string text = loaded ? std::string() : std::string(refused) + why;
  if (loaded) {
    for (const Described& variant : all_described()) {
      if (!text.empty()) text += between_variants;
      text += as_text(variant);
    }
  }
  requests.answer(text);
  return loaded;
}

void serve_why_not(Requests& requests) {
  for (std::string request; requests.next(request);) {
    std::istringstream words(request);
    std::string variant, args, device;
    words >> variant >> args >> device;
    requests.begin();
    std::string answer = why_not(variant, from_hex(args), from_hex(device));
    (void)take_misdeed();  // the check finds it again
    requests.answer(answer);
  }
}

}  // namespace normquant::plugins
