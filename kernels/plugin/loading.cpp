#include "plugin/loading.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "plugin/float_mode.hpp"
#include "plugin/normquant_plugin.h"
#include "plugin/plugins.hpp"

namespace normquant::plugins {
namespace {

/// Versions of normquant_plugin.h that are served, newest first. Since 1 nothing was changed, only added.
constexpr std::array<std::uint32_t, 3> served = {NORMQUANT_PLUGIN_ABI, 2, 1};

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
  if (std::find(served.begin(), served.end(), table->abi) == served.end()) {
    return fmt::format("it has version {} of normquant_plugin.h, and this program {}; compile it again", table->abi,
                       NORMQUANT_PLUGIN_ABI);
  }
  const int last_operation = table->abi == 1 ? NORMQUANT_WEIGHT_QUANT : NORMQUANT_BIT_LINEAR_BACKWARD;
  if (!is_name(table->name)) return "the plugin's name must be of [a-z0-9_], at most 64";
  if (table->count == 0 || table->variants == nullptr) return "its table has no variants";
  for (std::uint32_t i = 0; i < table->count; ++i) {
    const normquant_variant& v = table->variants[i];
    if (!is_name(v.name)) return fmt::format("the name of variant {} must be of [a-z0-9_], at most 64", i);
    if (v.operation < NORMQUANT_NORM_QUANT_FORWARD || v.operation > last_operation) {
      return fmt::format("variant {} names operation {}, which does not exist in version {} of normquant_plugin.h",
                         v.name, v.operation, table->abi);
    }
    if (v.devices == 0 || (v.devices & ~static_cast<unsigned>(NORMQUANT_HOST | NORMQUANT_CUDA)) != 0) {
      return fmt::format("variant {} must run on NORMQUANT_HOST, NORMQUANT_CUDA or both", v.name);
    }
    if (v.launch == nullptr) return fmt::format("variant {} has no launch function", v.name);
    for (std::uint32_t j = 0; j < i; ++j) {
      if (std::string_view(table->variants[j].name) == v.name) return fmt::format("two variants are called {}", v.name);
    }
  }
  return {};
}

using EntryFunction = const normquant_plugin_table* (*)(std::uint32_t);

const normquant_plugin_table* table_of(EntryFunction entry) {
  for (const std::uint32_t abi : served) {
    if (const normquant_plugin_table* table = entry(abi); table != nullptr) return table;
  }
  return nullptr;
}

Described described(const normquant_plugin_table& table, const normquant_variant& v) {
  Described d;
  d.operation = v.operation;
  d.devices = v.devices;
  d.reproducible = v.reproducible != 0;
  // Before version 3 `reproducible` was no set of bits: whatever was not 0 meant yes.
  d.row_invariant = table.abi >= 3 && (static_cast<std::uint32_t>(v.reproducible) & NORMQUANT_ROW_INVARIANT) != 0;
  const bool layer = v.operation >= NORMQUANT_BIT_LINEAR_FORWARD;
  d.multiplies_codes = table.abi >= 2 && layer && v.multiplies_codes != 0;
  d.serves_formats = table.abi >= 3 && !layer && v.serves_formats != 0;
  d.name = fmt::format("{}:{}", table.name, v.name);
  constexpr std::size_t longest = 1000;
  if (v.summary != nullptr)
    d.summary = plain_line(v.summary, std::min(longest, std::string_view(v.summary).size()), "");
  return d;
}

}  // namespace

std::string plain_line(const char* text, std::size_t capacity, const char* otherwise) {
  std::string line(text, std::find(text, text + capacity, '\0'));
  for (char& c : line) {
    if (c < 0x20 || c > 0x7E) c = '?';
  }
  return line.empty() ? otherwise : line;
}

bool load(const std::string& path, std::string& why) {
  // A bare name would be looked for in the system's folders.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  const FloatMode before = float_mode();
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* said = dlerror();
    std::string_view reason = said == nullptr ? "unknown reason" : said;
    if (reason.starts_with(file + ": ")) reason.remove_prefix(file.size() + 2);  // it is named already
    why = fmt::format("cannot load the plugin {}: {}", path, reason);
    return false;
  }
  const auto entry = reinterpret_cast<EntryFunction>(dlsym(library, "normquant_plugin_entry"));
  const normquant_plugin_table* table = entry == nullptr ? nullptr : table_of(entry);
  const FloatMode after = float_mode();
  set_float_mode(before);
  std::string rule =
      entry == nullptr ? "it exports no function normquant_plugin_entry (in C++: extern \"C\")" : broken_rule(table);
  if (rule.empty() && after != before) {  // -ffast-math links code that does so
    rule = "loading it changed the floating-point mode: " + mode_difference(before, after);
  }
  for (std::uint32_t i = 0; rule.empty() && i < table->count; ++i) {
    (void)add(described(*table, table->variants[i]), path, &table->variants[i], rule);
  }
  if (rule.empty()) return true;
  why = fmt::format("cannot use the plugin {}: {}", path, rule);
  return false;  // the library stays: what it started in other threads may still run
}

}  // namespace normquant::plugins
