// Plugins: variants from shared libraries (normquant_plugin.h), as rows like those of the library's own tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/variant.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant::plugins {

/// Loads a shared library and adds its variants, called `plugin:variant`. False, with the file and what is wrong with it
/// in `why`, when it cannot be loaded, has another ABI version, or its table is not as normquant_plugin.h says; then
/// nothing is added. Call before other threads look at variants. What was loaded stays until the program ends.
bool load(const std::string& path, std::string& why);

/// The same for each path, until one fails.
bool load(const std::vector<std::string>& paths, std::string& why);

/// The loaded variants of an operation on devices of that kind, in the order of loading. The layer has none.
template <class Args>
const std::vector<Variant<Args>>& variants(DeviceKind) {
  static const std::vector<Variant<Args>> none;
  return none;
}
template <>
const std::vector<Variant<NormQuantForward>>& variants(DeviceKind kind);
template <>
const std::vector<Variant<NormQuantBackward>>& variants(DeviceKind kind);
template <>
const std::vector<Variant<ActivationQuant>>& variants(DeviceKind kind);
template <>
const std::vector<Variant<WeightQuant>>& variants(DeviceKind kind);

/// The file that a variant came from; empty when it is none of a plugin.
std::string file_of(std::string_view variant);

}  // namespace normquant::plugins
