// The tables of all algorithms, one function each, for both backends. An operation's variants are its tables' rows in
// the order given in the operation's .cpp; a new algorithm adds a declaration here and a line there.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#define NORMQUANT_DECLARE_ALGORITHMS                                             \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_one_pass();   \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_split();      \
  const std::vector<Variant<NormQuantForward>>& norm_quant_forward_two_pass();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_one_pass(); \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_staged();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_striped();  \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_single();   \
  const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_two_pass(); \
  const std::vector<Variant<ActivationQuant>>& activation_quant_one_pass();      \
  const std::vector<Variant<ActivationQuant>>& activation_quant_two_pass();      \
  const std::vector<Variant<WeightQuant>>& weight_quant_two_pass();              \
  const std::vector<Variant<WeightQuant>>& weight_quant_resident();

namespace normquant {

/// A row of an algorithm's table. The numbers are those of Tuning, which says what each means.
struct VariantRow {
  std::string_view name, summary;
  int threads_per_row = 0, rows_per_block = 1;
  int lanes = 0, elements = 0, cluster = 1;
  int access_bytes = 16, stages = 1;
  std::string_view row_bits_of = {};
  bool sums_follow_alignment = false;  ///< the order of a row's sums follows where it starts: not row_invariant
};

/// The table: `common` has the functions that its rows share.
template <class Args>
std::vector<Variant<Args>> variant_table(Variant<Args> common, std::span<const VariantRow> rows) {
  std::vector<Variant<Args>> table;
  const bool row_invariant = common.row_invariant;
  const std::string_view row_bits_of = common.row_bits_of;
  for (const VariantRow& row : rows) {
    common.name = row.name, common.summary = row.summary;
    common.tuning = {.threads_per_row = row.threads_per_row,
                     .rows_per_block = row.rows_per_block,
                     .access_bytes = row.access_bytes,
                     .elements = row.elements,
                     .lanes = row.lanes,
                     .cluster = row.cluster,
                     .stages = row.stages};
    common.row_invariant = row_invariant && !row.sums_follow_alignment;
    common.row_bits_of = row.row_bits_of.empty() ? row_bits_of : row.row_bits_of;
    table.push_back(common);
  }
  return table;
}

}  // namespace normquant

namespace normquant::host {
NORMQUANT_DECLARE_ALGORITHMS
}
namespace normquant::cuda {
NORMQUANT_DECLARE_ALGORITHMS
}

#undef NORMQUANT_DECLARE_ALGORITHMS
