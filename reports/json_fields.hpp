// Fields of a JSON object that may not be there, or be of another type.
#pragma once

#include <optional>
#include <string>
#include <nlohmann/json.hpp>

namespace normquant::reports {

/// Empty when there is no such text.
inline std::string text(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

inline std::optional<double> number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

}  // namespace normquant::reports
