// Sweeps: lists of cases, by name (named_sweeps.cpp) or from a file. docs/records.md explains every
// field of the file:
//
//   {"name": "mine", "about": "one line",
//    "cases": [{"op": "forward", "shapes": ["1x4096", "4096x4096"], "forms": ["rms", "layer"]},
//              {"op": "backward", "rows": [2048, 8192], "columns": [2560, 6912]}]}
// The layer's shapes may be `MxK_inxK_out`, as in "shapes": ["16x2560x6912"].
//
// A group stands for the product of its axes. With "zip": true `rows` and `columns` are paired
// instead: the first of each, the second of each, and so on. `dtypes` defaults to bfloat16, `forms`
// to the usual forms of the operation (cases.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/cases.hpp"
#include "validate/problem.hpp"

namespace normquant::bench {

/// A product of axes.
struct CaseGroup {
  Operation op = Operation::norm_quant_forward;
  std::vector<validate::Shape> shapes;
  std::vector<DType> dtypes = {DType::bfloat16};
  std::vector<std::string> forms;
};

struct Sweep {
  std::string name;
  std::string about;
  std::vector<CaseGroup> groups;
};

/// Columns that a published model gives to these operations, and where that is written down.
struct PublishedModel {
  std::string_view name;
  std::string_view source;
  std::vector<std::int64_t> widths;  ///< hidden size, then intermediate size (input of the down projection)
};
const std::vector<PublishedModel>& published_models();

/// layer: bit_linear_forward and _backward at the shapes of models (layer_sweep.cpp).
/// quick, host, models, decode, training, anchors, edges, weights; standing, for scripts/standing.py; tuning and
/// held_out, for `normquant tune`; gate, for `normquant gate --against`.
const std::vector<Sweep>& named_sweeps();
Sweep layer_sweep();

/// The sweep of that text; nothing, and a sentence in `why`, when it is malformed.
std::optional<Sweep> parse_sweep(std::string_view text, std::string& why);

/// A named sweep, or the file of that path.
std::optional<Sweep> find_sweep(const std::string& name_or_path, std::string& why);

/// What the command line says about the cases; an empty list says nothing.
struct Narrowing {
  std::vector<Operation> ops;           ///< keep groups of these operations only
  std::vector<validate::Shape> shapes;  ///< in place of the groups' shapes
  std::vector<DType> dtypes;            ///< in place of the groups' types
};
Sweep narrowed(const Sweep& sweep, const Narrowing& narrowing);

/// Every operation in its usual forms; shapes to be given by a Narrowing.
Sweep all_forms();

/// The cases of a sweep in order, each once.
std::vector<Case> expand(const Sweep& sweep);

/// As validate::parse_any_shape, and refuses M = 0: there is nothing to time.
std::optional<validate::Shape> parse_timed_shape(std::string_view text, std::string& why);

}  // namespace normquant::bench
