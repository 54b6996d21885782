// What a call answers: ok, or the reason in a sentence.
#pragma once

#include <string>
#include <utility>

namespace normquant {

enum class StatusCode {
  ok,
  invalid_argument,  ///< the arguments break the operation's contract; nothing was launched, nothing written
  unsupported,       ///< this variant does not serve this problem; nothing was launched, nothing written
  infrastructure     ///< CUDA (or the host execution) failed
};

/// Result of a launch. `message` is empty when ok; otherwise it names the argument and what to do.
struct [[nodiscard]] Status {
  StatusCode code = StatusCode::ok;
  std::string message;

  bool ok() const { return code == StatusCode::ok; }
  static Status invalid_argument(std::string message) { return {StatusCode::invalid_argument, std::move(message)}; }
  static Status unsupported(std::string message) { return {StatusCode::unsupported, std::move(message)}; }
  static Status infrastructure(std::string message) { return {StatusCode::infrastructure, std::move(message)}; }
};

}  // namespace normquant
