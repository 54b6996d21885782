// The header of a .npy array: a Python dictionary of three entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "validate/tensor_files/tensor.hpp"

namespace normquant::tensors {

struct NpyHeader {
  std::string descr;  ///< the element type in NumPy's spelling, "<f4"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Nothing where NumPy would read none either: an entry that is missing, unknown or twice there, a shape that is no tuple
/// of whole numbers. `version` is the file's: before version 3 a number may end with the L of Python 2.
std::optional<NpyHeader> parse_npy_header(std::string_view text, int version);

struct NpyElements {
  Element element = Element::float32;
  bool big_endian = false;
};

/// What NumPy, with ml_dtypes, understands by a descr; nothing for types that have no use here.
std::optional<NpyElements> elements_of_descr(std::string_view descr);

}  // namespace normquant::tensors
