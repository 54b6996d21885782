#include "validate/space/cell.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {
namespace {

/// Of many rows; wider ones are as long as they have to be, but few.
constexpr std::int64_t most_elements_of_a_cell = 70000;

}  // namespace

Cell::Cell(const Served& served, std::size_t variant, const Base& base, const DeviceInfo& device, std::uint64_t seed,
           std::vector<Run>& runs)
    : served_(served),
      variant_(variant),
      tuning_(served.variants()[variant].tuning),
      op_(served.variants()[variant].op),
      device_(device),
      seed_(seed),
      runs_(runs) {
  for (const Problem& problem : base.problems) {
    if (form_of(problem) == base.form) look_at(problem);
  }
  std::stable_sort(lengths_.begin(), lengths_.end(),
                   [](const Length& a, const Length& b) { return a.columns < b.columns; });
}

void Cell::add_columns() {
  std::map<std::string, std::vector<const Length*>> by_class;
  for (const Length& length : lengths_) {
    for (const std::string& name : column_classes(length.cut, length.columns)) {
      auto& some = by_class[name];
      // The shortest in each type and base: few are long.
      const bool known = std::any_of(some.begin(), some.end(), [&](const Length* l) { return l->base == length.base; });
      if (!known) some.push_back(&length);
    }
  }
  std::vector<std::pair<const std::string*, const Length*>> wanted;
  for (const auto& [name, some] : by_class) {
    const std::int64_t least = some.front()->columns;
    std::vector<const Length*> near;
    std::copy_if(some.begin(), some.end(), std::back_inserter(near),
                 [&](const Length* l) { return l->columns <= 2 * least + 64; });
    wanted.emplace_back(&name, near[(variant_ + wanted.size() + seed_) % near.size()]);
  }
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const auto& a, const auto& b) { return a.second->columns > b.second->columns; });
  std::set<std::string> met;
  for (const auto& [name, length] : wanted) {
    if (met.contains(*name)) continue;
    for (const std::string& also : column_classes(length->cut, length->columns)) met.insert(also);
    // Shifted rows start at every distance from an aligned address, each between others.
    const std::int64_t few =
        length->cut.shift > 0 ? 11 : 1 + static_cast<std::int64_t>(length->columns / 8 + runs_.size()) % 3;
    add(*length, length->columns > 20000 ? 1 : few);
    if (!length->base->out && !length->base->codes) continue;
    add_largest_at(*length, length->columns - 1);
    if (length->cut.piece > 0) add_largest_at(*length, 0);
  }
}

void Cell::add_largest_at(const Length& length, std::int64_t column) {
  Problem p = made(length, 1);
  p.values = Values::one_large;
  p.at_column = column;
  p.at_row = 0;
  runs_.push_back({p, variant_});
}

void Cell::add_rows() {
  for (Width width : {Width::narrow, Width::middle, Width::wide}) {
    std::vector<const Length*> some;
    for (const Length& length : lengths_) {
      if (width_of(length.cut, length.columns) != width) continue;
      if (some.empty() || length.columns <= some.front()->columns + 3 * length.cut.packet) some.push_back(&length);
    }
    if (some.empty()) continue;
    for (std::int64_t rows : row_counts(op_, tuning_, width, device_)) {
      const Length& length = *some[static_cast<std::size_t>(rows) % some.size()];
      if (rows <= 5 || rows * length.columns <= most_elements_of_a_cell) add(length, rows);
    }
  }
}

void Cell::add_longest() {
  constexpr std::int64_t most = 250000;
  for (DType x : {bf16, f32, f16}) {
    const Length* longest = nullptr;
    for (const Length& one : lengths_) {
      if (one.base->x == x && one.cut.tiles) longest = &one;
    }
    if (longest == nullptr) continue;
    const std::int64_t rows = 3 * device_.sm_count + 1;
    const std::int64_t few = tuning_.stages <= 1 ? 1 : 3;
    add(*longest, rows * longest->columns <= most ? rows : few);
  }
  if (tuning_.stages <= 1 || tuning_.cluster > 1) return;
  // Rows of a few warps, so many that barriers or shared memory, not registers, say how many go side by side.
  for (std::int64_t warps : {2, 4, 8}) {
    const Length* last = nullptr;
    for (const Length& one : lengths_) {
      const bool wide_enough = one.base->x == (warps == 2 ? bf16 : f32) && one.columns > (warps - 1) * one.cut.tile;
      if (wide_enough && one.columns <= warps * one.cut.tile && one.cut.tiles) last = &one;
    }
    if (last != nullptr) add(*last, (warps == 2 ? 16 : 16 / warps) * device_.sm_count);
  }
}

void Cell::add_many_rows() {
  constexpr std::int64_t many = 65537;
  const Length& length = lengths_.front();
  const bool few_threads = length.cut.tiles ? length.cut.cluster == 1 : length.cut.warps <= 1;
  if (few_threads) add(length, many);
}

void Cell::look_at(const Problem& base) {
  const Cut cut = cut_of(tuning_, base.x);
  Problem p = base;
  p.rows = 1;
  p.columns = 1 << 20;
  const bool any_length = !cut.tiles && served_.by(variant_, p);
  std::int64_t most = cut.piece > 0 ? 257 * cut.piece : std::max<std::int64_t>(9 * cut.tile, 65544);
  if (cut.tiles) {  // the longest row that it holds
    most = 32 * cut.tile * cut.cluster;
    for (p.columns = most; p.columns > cut.tile && !served_.by(variant_, p);) p.columns -= cut.tile;
    most = p.columns;
  }
  for (std::int64_t columns : lengths_to_look_at(cut, most)) {
    if (any_length && cut.piece == 0 && columns > 3 * cut.tile && columns < 65536) continue;
    p.columns = columns;
    if (served_.by(variant_, p)) lengths_.push_back({columns, &base, cut});
  }
}

Problem Cell::made(const Length& length, std::int64_t rows) const {
  Problem p = *length.base;
  p.rows = rows;
  p.columns = length.columns;
  p.seed = seed_;
  const auto mixed = static_cast<std::uint64_t>(length.columns / 8 + rows) + seed_;
  p.rounding = mixed % 2 == 0 ? Rounding::half_away : Rounding::half_even;
  p.guard = guard_of(mixed / 3);
  if (tuning_.access_bytes >= 16) return p;
  if (length.cut.shift > 0 && rows > 3) {
    p.offset = static_cast<int>(mixed % 3), p.row_padding = length.columns % 2 == 0 ? 5 : 6;
    return p;
  }
  if (mixed % 3 == 1) p.offset = 1, p.row_padding = 5;
  if (mixed % 3 == 2) p.row_padding = static_cast<std::int64_t>(mixed % 7);
  return p;
}

void Cell::add(const Length& length, std::int64_t rows) {
  const Problem p = made(length, rows);
  if (served_.by(variant_, p)) runs_.push_back({p, variant_});
}

}  // namespace normquant::validate::space
