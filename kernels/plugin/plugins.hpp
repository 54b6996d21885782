// Plugins: variants from shared libraries (normquant_plugin.h), as rows like those of the library's own tables.
//
// A plugin's code runs in processes of its own (worker.hpp). There its rows call it; in the program that the user started they
// are names: listed, matched and planned with, never launched.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/operations.hpp>
#include <normquant/variant.hpp>

struct normquant_variant;

namespace normquant::plugins {

/// A variant as its plugin describes it.
struct Described {
  std::int32_t operation = 0;  ///< as normquant_plugin.h numbers them
  std::uint32_t devices = 0;   ///< NORMQUANT_HOST | NORMQUANT_CUDA
  bool reproducible = false, row_invariant = false;
  bool multiplies_codes = false;
  bool serves_formats = false;  ///< other than int8 by the row's own scale and the floor 1e-5
  std::string name, summary;    ///< `plugin:variant`; one line

  bool on(DeviceKind kind) const { return (devices & (kind == DeviceKind::host ? 1U : 2U)) != 0; }
  bool operator==(const Described&) const = default;
};

/// The numbers of normquant_plugin.h are the enumeration's.
inline Operation operation_of(const Described& variant) { return static_cast<Operation>(variant.operation); }

/// Adds a variant of the plugin in `file` to the rows; `loaded` is null where its code is in another process. False, with a
/// sentence, when one of that name is there already. Call before other threads look at variants.
bool add(const Described& variant, const std::string& file, const normquant_variant* loaded, std::string& why);

/// The variants of an operation on devices of that kind, in the order of loading.
template <class Args>
const std::vector<Variant<Args>>& variants(DeviceKind kind);

/// Answers why_not for a variant whose code is in another process: its name, the arguments and the device as
/// normquant_plugin.h lays them out, as bytes. What it answers is why_not's sentence.
using AskElsewhere =
    std::function<std::string(const std::string& variant, std::string_view args, std::string_view device)>;
/// Until it is called such variants seem to serve everything.
void ask_elsewhere(AskElsewhere ask);
/// The same in the process that loaded the variant.
std::string why_not(std::string_view variant, std::string_view args, std::string_view device);

/// All that were added, in the order of their plugins' tables.
const std::vector<Described>& all_described();

/// The file that a variant came from; empty when it is none of a plugin.
std::string file_of(std::string_view variant);
/// Whether it is a plugin's, and its product is of codes.
bool multiplies_codes(std::string_view variant);

/// What the plugin in this process did wrong since the last call beside failing, as a sentence: it changed the floating-point
/// mode, or asked for an absurd workspace. Empty when nothing. A launch that does so fails by itself.
std::string take_misdeed();

/// Why none of a plugin's variants runs on devices of these kinds, as a sentence for the first such plugin; empty when every
/// plugin has one that does.
std::string runs_elsewhere(const std::vector<DeviceKind>& kinds);

}  // namespace normquant::plugins
