// A folder for the files of one call.
#pragma once

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "exit_status.hpp"
#include "output/interrupt.hpp"
#include "refusal.hpp"

namespace normquant::gate {

/// A folder of its own, which goes when it does, and when the program is interrupted. Throws a Refusal.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "normquant_gate_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Refusal{exit_infrastructure, "cannot make a folder like " + pattern};
    path_ = pattern;
    removal_ = std::make_unique<output::OnInterrupt>([path = path_] { remove(path); });
  }
  ~ScratchFolder() {
    removal_.reset();
    remove(path_);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  static void remove(const std::string& path) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path_;
  std::unique_ptr<output::OnInterrupt> removal_;
};

}  // namespace normquant::gate
