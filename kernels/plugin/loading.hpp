// Loading a plugin into this process, which is one that may be lost: its code runs from here on.
#pragma once

#include <cstddef>
#include <string>

namespace normquant::plugins {

/// Loads a shared library and adds its variants (plugins.hpp). False, with the file and what is wrong with it in `why`, when it
/// cannot be loaded, serves no version of normquant_plugin.h that we do, or its table is not as the header says; then nothing
/// is added. What was loaded stays until the process ends.
bool load(const std::string& path, std::string& why);

/// The text in `text[0 .. capacity)` as one line of plain text, whatever the plugin left there.
std::string plain_line(const char* text, std::size_t capacity, const char* otherwise);

}  // namespace normquant::plugins
