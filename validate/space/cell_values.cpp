// Of one variant in one form: values, at the lengths and places where a path treats them apart.
#include <algorithm>

#include "validate/space/cell.hpp"
#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {
namespace {

/// Rows of Values::means before they repeat.
constexpr std::int64_t kinds_of_means = 12;

/// Of the means that are far from zero it is the squares' digits: those of few bfloat16 values are summed exactly.
bool follows_the_type(Values values) {
  return values == Values::huge_mean || values == Values::means || values == Values::tiny_variance ||
         values == Values::large || values == Values::largest || values == Values::huge || values == Values::tiny ||
         values == Values::subnormals || values == Values::at_floor || values == Values::huge_weight;
}

}  // namespace

void Cell::add_rows_that_differ() {
  for (DType x : {bf16, f32}) {
    const auto is_wanted = [&](const Length& one) {
      const bool two_warps = one.columns > one.cut.tile && one.columns <= 2 * one.cut.tile;
      return one.base->x == x && one.base->norm == NormKind::layer && one.cut.tiles && one.cut.cluster == 1 &&
             two_warps;
    };
    const auto length = std::find_if(lengths_.begin(), lengths_.end(), is_wanted);
    if (length == lengths_.end()) continue;
    Problem p = made(*length, std::max<std::int64_t>(kinds_of_means, 2 * device_.sm_count + 2));
    p.values = Values::means;
    if (served_.by(variant_, p)) runs_.push_back({p, variant_});
  }
}

void Cell::add_places() {
  const Length* length = where_all_places_are();
  const auto all = places(length->cut, length->columns);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto with = [&](Values values, std::int64_t row) {
      Problem p = made(*length, 3);
      p.values = values;
      p.at_column = all[i].second;
      p.at_row = row;
      runs_.push_back({p, variant_});
    };
    with(i % 2 == 0 ? Values::one_nan : Values::minus_nan, static_cast<std::int64_t>(i % 3));
    if (length->base->out || length->base->codes) with(Values::one_large, static_cast<std::int64_t>((i + 1) % 3));
    if (!length->base->weight) continue;
    with(Values::nan_weight, -1);
    if (i % 2 == 1) with(Values::huge_weight, -1);
  }
}

void Cell::add_kinds() {
  std::vector<const Length*> of_types;
  for (DType x : {bf16, f32, f16}) {
    if (const Length* length = where_kinds_are(x)) of_types.push_back(length);
  }
  for (int i = 0; i < kinds_of_values; ++i) {
    const auto values = static_cast<Values>(i);
    if (follows_the_type(values)) {
      for (const Length* length : of_types) add_kind(*length, values);
    } else {
      add_kind(*of_types[(static_cast<std::uint64_t>(i) + seed_) % of_types.size()], values);
    }
  }
}

void Cell::add_shortest_of_large() {
  if (op_ == Operation::activation_quant) return;
  for (const Length& one : lengths_) {
    if (one.base->x == f16 || one.base->norm == NormKind::layer) continue;
    return add_kind(one, Values::large);
  }
}

const Cell::Length* Cell::where_kinds_are(DType x) const {
  const Length* found = nullptr;
  for (const Length& one : lengths_) {
    if (one.base->x != x) continue;
    if (found == nullptr || (one.columns <= 600 && one.columns % 64 == one.cut.packet % 64)) found = &one;
  }
  return found;
}

void Cell::add_kind(const Length& length, Values values) {
  const Problem& base = *length.base;
  const bool norm = op_ != Operation::activation_quant;
  const bool of_weight = values == Values::huge_weight || values == Values::nan_weight || values == Values::huge;
  if (norm && of_weight && !base.weight) return;
  const bool of_bias = values == Values::ties || values == Values::near_ties || values == Values::at_floor;
  if (norm ? of_bias && !base.bias : values == Values::huge_weight || values == Values::nan_weight) return;
  for (Rounding rounding : {Rounding::half_away, Rounding::half_even}) {
    Problem p = made(length, 4);
    if (!of_bias && rounding != p.rounding) continue;
    p.rounding = rounding;
    p.values = values;
    if (values == Values::means) p.rows = kinds_of_means;
    if (values == Values::huge_mean) p.save_quant_scale = norm && !p.quantisation.has_static_scale();
    if (of_bias && p.quantisation.has_static_scale()) p.quantisation.static_scale = 1;
    runs_.push_back({p, variant_});
    if (values == Values::tiny || values == Values::huge_weight) add_with_extremes(p);
    // By a saved scale a kernel has no other use for the largest, which is what tells that a product overflows.
    if (values != Values::huge_weight || p.quantisation.has_static_scale()) continue;
    p.save_quant_scale = true;
    runs_.push_back({p, variant_});
  }
}

void Cell::add_with_extremes(Problem p) {
  const bool tiny = p.values == Values::tiny;
  const bool forward = op_ == Operation::norm_quant_forward;  // a gradient would overflow
  if (tiny || forward) p.eps = 1e-20F;
  if (p.quantisation.has_static_scale()) p.quantisation.static_scale = tiny ? 1e11F : 1e-11F;
  if (tiny || forward || p.quantisation.has_static_scale()) runs_.push_back({p, variant_});
}

const Cell::Length* Cell::where_all_places_are() const {
  const Length* best = &lengths_.front();
  std::size_t most = 0;
  for (const Length& length : lengths_) {
    const std::int64_t wanted = length.cut.cluster > 4 ? length.cut.cluster : 3 * length.cut.cluster;
    if (length.columns > std::max<std::int64_t>(wanted * length.cut.tile, 2 * length.cut.piece)) continue;
    const std::size_t count = places(length.cut, length.columns).size();
    if (count > most) most = count, best = &length;
  }
  return best;
}

}  // namespace normquant::validate::space
