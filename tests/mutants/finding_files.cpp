#include "tests/mutants/finding_files.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "exit_status.hpp"

namespace normquant::mutants {

FindingFile::FindingFile(const std::string& path, bool append) : path_(path) {
  if (!path.empty()) file_.open(path, append ? std::ios::app : std::ios::trunc);
  check();
}

void FindingFile::add(const Finding& finding) {
  if (path_.empty()) return;
  file_ << nlohmann::json(finding).dump() << std::endl;
  check();
}

void FindingFile::check() const {
  if (!path_.empty() && !file_) throw Refusal{exit_infrastructure, fmt::format("cannot write {}", path_)};
}

std::vector<Finding> found_before(const std::string& path) {
  std::vector<Finding> findings;
  std::uintmax_t whole = 0;  // bytes
  std::ifstream file(path);
  if (!file) return findings;
  for (std::string line; std::getline(file, line) && !file.eof();) {
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_discarded()) break;
    findings.push_back(record.get<Finding>());
    whole += line.size() + 1;
  }
  file.close();
  std::filesystem::resize_file(path, whole);
  return findings;
}

}  // namespace normquant::mutants
