// The plan: which variants are timed on which cases, from what the command line says.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/cases.hpp"
#include "validate/shard.hpp"

namespace normquant::bench {

/// What the user asked for, as text.
struct PlanRequest {
  std::vector<std::string> ops, shapes, dtypes;
  std::string sweep;  ///< name or file; empty: `default_sweep`, or the usual forms of the given shapes
  std::string
      variant;  ///< regular expression found in the name, or `auto`, `invariant` or `auto,invariant`; empty: all variants
  bool invariant = false;  ///< also `invariant`, the row-invariant choice
  std::string default_sweep = "host";
};

struct PlannedCase {
  Case timed;
  std::string variant;
  std::int64_t index = 0;  ///< place in the whole plan
  std::string name() const { return case_name(timed, variant); }
};

/// Names of an operation's variants on the device that will run them, in table order.
using VariantNames = std::function<std::vector<std::string>(Operation)>;

/// The plan, variants of one case side by side; nothing, and a sentence in `why`, when the request is malformed or
/// matches nothing.
std::optional<std::vector<PlannedCase>> make_plan(const PlanRequest& request, const VariantNames& variants,
                                                  std::string& why);

using validate::parse_shard;
using validate::Shard;

/// The shard's part: of the cases, each with all its variants, every `of`-th, beginning with the `number`-th.
std::vector<PlannedCase> part_of(const std::vector<PlannedCase>& plan, const Shard& shard);

}  // namespace normquant::bench
