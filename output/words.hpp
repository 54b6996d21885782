// Small things that sentences and tables are made of, each said the same way everywhere.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace normquant::output {

/// `1 case is wrong`, `2 cases are wrong`.
std::string counted(std::int64_t count, std::string_view one, std::string_view more);

/// A figure from 0 to infinity in at most 9 characters: 0.123, 12345.678, 1.23e+44, inf, nan.
std::string short_figure(double value);

/// What is wrong with a text that should be JSON of a certain form, without the library's own wording: `it is no JSON at line 2,
/// column 5`, `it has no field "schema"`. Of an error that is none of the library's: its text.
std::string json_trouble(const std::exception& error);

}  // namespace normquant::output
