#include "validate/check/load.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "validate/tensor_files/tensor_file.hpp"

namespace normquant::check {
namespace {

using tensors::Element;
using tensors::Tensor;
using tensors::TensorFile;

/// A name from a file as one line of text: what could move a terminal's cursor is shown as '?'.
std::string printable(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return name.size() <= 80 ? name : name.substr(0, 80) + "...";
}

std::unique_ptr<TensorFile> open_file(const std::string& path, std::string& why) {
  auto bytes = tensors::FileBytes::open(path, why);
  if (bytes == nullptr) return nullptr;
  auto file = tensors::open_tensors(std::move(bytes), why);
  if (file == nullptr) why = fmt::format("{}: {}", path, why);
  return file;
}

/// FILE, FILE:NAME or FILE::NAME, where names hold colons as well: the longest FILE that exists is meant.
struct FileAndName {
  std::string path, name;
};
FileAndName file_and_name(const std::string& text) {
  std::error_code ignored;
  if (std::filesystem::exists(text, ignored)) return {text, {}};
  for (std::size_t colon = text.rfind(':'); colon != std::string::npos && colon > 0;
       colon = text.rfind(':', colon - 1)) {
    const std::string path = text.substr(0, colon);
    if (!std::filesystem::exists(path, ignored)) continue;
    const std::string name = text.substr(colon + 1);
    return {path, name.starts_with(':') ? name.substr(1) : name};
  }
  // No such file, and that is what will be said of it.
  for (const std::string_view ending : {".npy:", ".npz:", ".safetensors:"}) {
    const std::size_t at = text.find(ending);
    if (at != std::string::npos) return {text.substr(0, at + ending.size() - 1), {}};
  }
  return {text.substr(0, text.find(':')), {}};
}

/// What NumPy leaves unread behind an array is not lost without a word.
void note_left_over(const std::string& where, const Tensor& tensor, Loaded& loaded) {
  if (tensor.left_over == 0) return;
  loaded.ignored.push_back(fmt::format("{} bytes behind the array in {}", tensor.left_over, printable(where)));
}

std::optional<Tensor> tensor_at(const std::string& role, const std::string& text, std::string& why) {
  FileAndName place = file_and_name(text);
  const auto file = open_file(place.path, why);
  if (file == nullptr) return std::nullopt;
  const std::vector<std::string>& names = file->names();
  const auto has = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (place.name.empty()) place.name = has(role) || names.size() != 1 ? role : names.front();
  if (names.size() == 1 && names.front().empty()) place.name.clear();
  if (!has(place.name)) {
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 20); ++i) shown.push_back(printable(names[i]));
    why = fmt::format("{} has no tensor '{}' for {}; write {}:NAME with one of its {}: {}", place.path, place.name,
                      role, place.path, names.size(), fmt::join(shown, ", "));
    return std::nullopt;
  }
  auto tensor = file->read(place.name, why);
  if (!tensor) {
    why = place.name.empty() ? fmt::format("{}: {}", place.path, why)
                             : fmt::format("{}, tensor {}: {}", place.path, printable(place.name), why);
  }
  return tensor;
}

/// Adds the tensors of a file that are called like roles.
bool add_file(const std::string& path, std::span<const Role> roles, Loaded& loaded, std::string& why) {
  const auto file = open_file(path, why);
  if (file == nullptr) return false;
  for (const std::string& name : file->names()) {
    const bool is_role = std::any_of(roles.begin(), roles.end(), [&](const Role& role) { return role.name == name; });
    if (!is_role) {
      if (!name.empty()) loaded.other_names.push_back(printable(name));
      loaded.ignored.push_back(name.empty() ? path + " (its array has no name)" : printable(name));
      continue;
    }
    if (loaded.tensors.contains(name)) {
      why = fmt::format("{} holds {}, which another file of --tensors gave already; give it once", path, name);
      return false;
    }
    auto tensor = file->read(name, why);
    if (!tensor) {
      why = fmt::format("{}, tensor {}: {}", path, name, why);
      return false;
    }
    note_left_over(path + ":" + name, *tensor, loaded);
    loaded.tensors.insert_or_assign(name, std::move(*tensor));
  }
  return true;
}

/// ROLE=TYPE, for a tensor of 16 bits.
bool name_type(const std::string& text, Tensors& tensors, std::string& why) {
  const std::size_t equals = text.find('=');
  const auto tensor = tensors.find(text.substr(0, equals));
  const auto type = equals == std::string::npos ? std::nullopt : dtype_named(text.substr(equals + 1));
  if (tensor == tensors.end() || !type || *type == DType::float32) {
    why = fmt::format("--as {}: write ROLE=bfloat16 or ROLE=float16 of a tensor that is given", text);
    return false;
  }
  const Element element = tensor->second.element;
  if (tensors::size_of(element) != 2) {
    why = fmt::format("--as {}: {} holds {}, which is no type of 16 bits", text, tensor->first, name_of(element));
    return false;
  }
  tensor->second.element = *type == DType::bfloat16 ? Element::bfloat16 : Element::float16;
  return true;
}

}  // namespace

std::optional<Loaded> load(Op op, const Sources& sources, std::string& why) {
  Loaded loaded;
  const auto roles = roles_of(op);
  for (const std::string& path : sources.files) {
    if (!add_file(path, roles, loaded, why)) return std::nullopt;
  }
  for (const auto& [role, text] : sources.roles) {
    const std::string_view wanted = role;
    if (std::none_of(roles.begin(), roles.end(), [&](const Role& r) { return r.name == wanted; })) {
      why = fmt::format("{} has no tensor {}", name_of(op), role);
      return std::nullopt;
    }
    auto tensor = tensor_at(role, text, why);
    if (!tensor) return std::nullopt;
    note_left_over(text, *tensor, loaded);
    loaded.tensors.insert_or_assign(role, std::move(*tensor));
  }
  for (const std::string& text : sources.types) {
    if (!name_type(text, loaded.tensors, why)) return std::nullopt;
  }
  return loaded;
}

}  // namespace normquant::check
