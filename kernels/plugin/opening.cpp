// Opening a plugin: a process of its own loads it and describes it, one line; the rows of this process are made from that.
#include <fmt/format.h>

#include <charconv>
#include <sstream>

#include "plugin/loading.hpp"
#include "plugin/plugins.hpp"
#include "plugin/worker.hpp"

namespace normquant::plugins {
namespace {

constexpr char between_variants = '\x1e', between_fields = '\x1f';
constexpr std::string_view refused = "refused: ";

std::string as_text(const Described& d) {
  return fmt::format("{}{sep}{}{sep}{:d}{sep}{:d}{sep}{}{sep}{}", d.operation, d.devices, d.reproducible,
                     d.multiplies_codes, d.name, d.summary, fmt::arg("sep", between_fields));
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
  d.multiplies_codes = number() != 0;
  d.name = field();
  d.summary = field();
  return d;
}

bool open_one(const std::string& path, double seconds, std::string& why) {
  const auto worker = Worker::start({worker_command, "--plugin", path, "--role", "describe"}, why);
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

}  // namespace normquant::plugins
