#include "validate/tensor_files/npz.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "validate/tensor_files/npy.hpp"
#include "validate/tensor_files/zip.hpp"

namespace normquant::tensors {
namespace {

constexpr std::string_view suffix = ".npy";

}  // namespace

std::optional<std::vector<std::string>> npz_names(ByteSource& bytes, std::string& why) {
  const auto entries = zip_directory(bytes, why);
  if (!entries) return std::nullopt;
  std::vector<std::string> names;
  std::set<std::string_view> distinct;
  for (const ZipEntry& entry : *entries) {
    if (!entry.name.ends_with(suffix)) continue;
    names.push_back(entry.name.substr(0, entry.name.size() - suffix.size()));
    if (distinct.insert(entry.name).second) continue;
    why = fmt::format("the zip archive has two arrays called '{}'", names.back().substr(0, 60));
    return std::nullopt;
  }
  if (!names.empty()) return names;
  why = "the zip archive holds no .npy array; what torch.save writes is not read, save with safetensors or numpy.savez";
  return std::nullopt;
}

std::optional<Tensor> read_npz(ByteSource& bytes, const std::string& name, std::string& why) {
  const auto entries = zip_directory(bytes, why);
  if (!entries) return std::nullopt;
  const auto found = std::find_if(entries->begin(), entries->end(),
                                  [&](const ZipEntry& entry) { return entry.name == name + std::string(suffix); });
  if (found == entries->end()) {
    why = "the archive has no such array";
    return std::nullopt;
  }
  const auto array = unpacked(bytes, *found, why);
  if (!array) return std::nullopt;
  MemoryBytes memory(*array);
  return read_npy(memory, why);
}

}  // namespace normquant::tensors
