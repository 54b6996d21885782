#include "plugin/plugins.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>

#include "plugin/arguments.hpp"

namespace normquant::plugins {
namespace {

/// A loaded variant.
struct Entry {
  const normquant_variant* variant;
  std::string summary, file;
};

/// By full name. The names and summaries in here are what the rows below point to.
std::map<std::string, Entry, std::less<>>& entries() {
  static std::map<std::string, Entry, std::less<>> all;
  return all;
}

const normquant_variant& entry_of(std::string_view name) { return *entries().find(name)->second.variant; }

/// One line of plain text, whatever the plugin left.
std::string sentence(const char* text, std::size_t capacity, const char* otherwise) {
  std::string line(text, std::find(text, text + capacity, '\0'));
  for (char& c : line) {
    if (c < 0x20 || c > 0x7E) c = '?';
  }
  return line.empty() ? otherwise : line;
}

using Why = std::array<char, 512>;

template <class Args>
std::string why_not(const Variant<Args>& variant, const Args& args, const DeviceInfo& device) {
  const normquant_variant& entry = entry_of(variant.name);
  if (entry.why_not == nullptr) return {};
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  Why why{};
  if (entry.why_not(&entry, &c_args, &c_device, why.data(), why.size()) == 0) return {};
  return sentence(why.data(), why.size(), "does not serve this problem, and its plugin does not say why");
}

template <class Args>
std::size_t workspace_bytes(const Variant<Args>& variant, const Args& args, const DeviceInfo& device) {
  const normquant_variant& entry = entry_of(variant.name);
  if (entry.workspace_bytes == nullptr) return 0;
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  return entry.workspace_bytes(&entry, &c_args, &c_device);
}

template <class Args>
std::int64_t requested_bytes(const Variant<Args>&, const Args& args, const DeviceInfo&) {
  return algorithmic_bytes(args);
}

template <class Args>
Status launch(const Variant<Args>& variant, const Args& args, const DeviceInfo& device, void* workspace,
              Stream stream) {
  const normquant_variant& entry = entry_of(variant.name);
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  Why why{};
  try {
    if (entry.launch(&entry, &c_args, &c_device, workspace, stream, why.data(), why.size()) == 0) return {};
  } catch (const std::exception& error) {
    return Status::infrastructure(fmt::format("{} threw: {}", variant.name, error.what()));
  } catch (...) {
    return Status::infrastructure(fmt::format("{} threw", variant.name));
  }
  return Status::infrastructure(fmt::format("{}: {}", variant.name, sentence(why.data(), why.size(), "it failed")));
}

/// The rows of one operation, by device.
template <class Args>
struct Rows {
  std::vector<Variant<Args>> on_host, on_cuda;

  void add(std::string_view name, const Entry& entry) {
    Variant<Args> row;
    row.name = name;
    row.summary = entry.summary;
    row.tuning.access_bytes = 0;  // a plugin's own business
    row.deterministic = entry.variant->reproducible != 0;
    row.why_not = why_not<Args>;
    row.workspace_bytes = workspace_bytes<Args>;
    row.requested_bytes = requested_bytes<Args>;
    row.launch = launch<Args>;
    if ((entry.variant->devices & NORMQUANT_HOST) != 0) on_host.push_back(row);
    if ((entry.variant->devices & NORMQUANT_CUDA) != 0) on_cuda.push_back(row);
  }
  const std::vector<Variant<Args>>& of(DeviceKind kind) const { return kind == DeviceKind::host ? on_host : on_cuda; }
};

template <class Args>
Rows<Args>& rows() {
  static Rows<Args> all;
  return all;
}

bool is_name(const char* text) {
  const std::string_view name = text == nullptr ? "" : text;
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// What is wrong with a table; empty when nothing is.
std::string broken_rule(const normquant_plugin_table* table) {
  if (table == nullptr) {
    return fmt::format("it does not serve version {} of normquant_plugin.h", NORMQUANT_PLUGIN_ABI);
  }
  if (table->abi != NORMQUANT_PLUGIN_ABI) {
    return fmt::format("it has version {} of normquant_plugin.h, and this program {}; compile it again", table->abi,
                       NORMQUANT_PLUGIN_ABI);
  }
  if (!is_name(table->name)) return "the plugin's name must be of [a-z0-9_], at most 64";
  if (table->count == 0 || table->variants == nullptr) return "its table has no variants";
  for (std::uint32_t i = 0; i < table->count; ++i) {
    const normquant_variant& v = table->variants[i];
    if (!is_name(v.name)) return fmt::format("the name of variant {} must be of [a-z0-9_], at most 64", i);
    if (v.operation < NORMQUANT_NORM_QUANT_FORWARD || v.operation > NORMQUANT_WEIGHT_QUANT) {
      return fmt::format("variant {} names operation {}, which does not exist", v.name, v.operation);
    }
    if (v.devices == 0 || (v.devices & ~static_cast<unsigned>(NORMQUANT_HOST | NORMQUANT_CUDA)) != 0) {
      return fmt::format("variant {} must run on NORMQUANT_HOST, NORMQUANT_CUDA or both", v.name);
    }
    if (v.launch == nullptr) return fmt::format("variant {} has no launch function", v.name);
    for (std::uint32_t j = 0; j < i; ++j) {
      if (std::string_view(table->variants[j].name) == v.name) return fmt::format("two variants are called {}", v.name);
    }
    if (entries().contains(fmt::format("{}:{}", table->name, v.name))) {
      return fmt::format("a variant {}:{} has been loaded already", table->name, v.name);
    }
  }
  return {};
}

void add(const normquant_plugin_table& table, const std::string& path) {
  for (std::uint32_t i = 0; i < table.count; ++i) {
    const normquant_variant& v = table.variants[i];
    const std::string summary = v.summary == nullptr ? "" : sentence(v.summary, std::string_view(v.summary).size(), "");
    const auto& [name, entry] =
        *entries().emplace(fmt::format("{}:{}", table.name, v.name), Entry{&v, summary, path}).first;
    switch (v.operation) {
      case NORMQUANT_NORM_QUANT_FORWARD: rows<NormQuantForward>().add(name, entry); break;
      case NORMQUANT_NORM_QUANT_BACKWARD: rows<NormQuantBackward>().add(name, entry); break;
      case NORMQUANT_ACTIVATION_QUANT: rows<ActivationQuant>().add(name, entry); break;
      default: rows<WeightQuant>().add(name, entry); break;
    }
  }
}

}  // namespace

bool load(const std::string& path, std::string& why) {
  // A bare name would be looked for in the system's folders.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    why = fmt::format("cannot load the plugin {}: {}", path, reason == nullptr ? "unknown reason" : reason);
    return false;
  }
  using EntryFunction = const normquant_plugin_table* (*)(std::uint32_t);
  const auto entry = reinterpret_cast<EntryFunction>(dlsym(library, "normquant_plugin_entry"));
  const normquant_plugin_table* table = entry == nullptr ? nullptr : entry(NORMQUANT_PLUGIN_ABI);
  const std::string rule =
      entry == nullptr ? "it exports no function normquant_plugin_entry (in C++: extern \"C\")" : broken_rule(table);
  if (!rule.empty()) {
    why = fmt::format("cannot use the plugin {}: {}", path, rule);
    dlclose(library);
    return false;
  }
  add(*table, path);
  return true;
}

bool load(const std::vector<std::string>& paths, std::string& why) {
  return std::all_of(paths.begin(), paths.end(), [&](const std::string& path) { return load(path, why); });
}

template <>
const std::vector<Variant<NormQuantForward>>& variants(DeviceKind kind) {
  return rows<NormQuantForward>().of(kind);
}
template <>
const std::vector<Variant<NormQuantBackward>>& variants(DeviceKind kind) {
  return rows<NormQuantBackward>().of(kind);
}
template <>
const std::vector<Variant<ActivationQuant>>& variants(DeviceKind kind) {
  return rows<ActivationQuant>().of(kind);
}
template <>
const std::vector<Variant<WeightQuant>>& variants(DeviceKind kind) {
  return rows<WeightQuant>().of(kind);
}

std::string file_of(std::string_view variant) {
  const auto found = entries().find(variant);
  return found == entries().end() ? std::string{} : found->second.file;
}

}  // namespace normquant::plugins
