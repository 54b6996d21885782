#include "output/words.hpp"

#include <fmt/format.h>

#include <cmath>

namespace normquant::output {

std::string counted(std::int64_t count, std::string_view one, std::string_view more) {
  return fmt::format("{} {}", count, count == 1 ? one : more);
}

std::string short_figure(double value) {
  constexpr double most = 99999.9995;  // 9 characters with three decimals
  return std::isfinite(value) && std::abs(value) >= most ? fmt::format("{:.2e}", value) : fmt::format("{:.3f}", value);
}

std::string json_trouble(const std::exception& error) {
  const std::string_view text = error.what();
  if (!text.starts_with("[json.exception.")) return std::string(text);
  if (const std::size_t at = text.find("at line "); at != std::string_view::npos) {
    return fmt::format("it is no JSON {}", text.substr(at, text.find(':', at) - at));
  }
  constexpr std::string_view key = "key '", missing = "' not found";
  const std::size_t begin = text.find(key), end = text.rfind(missing);
  if (begin != std::string_view::npos && end != std::string_view::npos && begin + key.size() <= end) {
    return fmt::format("it has no field \"{}\"", text.substr(begin + key.size(), end - begin - key.size()));
  }
  return "a field of it has another type, or another value, than it must have";
}

}  // namespace normquant::output
