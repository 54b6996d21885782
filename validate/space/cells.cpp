#include "validate/space/cells.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "validate/space/bases.hpp"
#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {
namespace {

/// A length at which some problem of a form is served, and what it is there.
struct Length {
  std::int64_t columns;
  const Problem* base;
  Cut cut;
};

/// Problems of one variant in one form.
class Cell {
 public:
  Cell(const Served& served, std::size_t variant, const Base& base, const DeviceInfo& device, std::uint64_t seed,
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

  bool served() const { return !lengths_.empty(); }

  /// Every class of N once, the longest rows first, so that one of them serves for several.
  void add_columns() {
    std::map<std::string, std::vector<const Length*>> by_class;
    for (const Length& length : lengths_) {
      for (const std::string& name : column_classes(length.cut, length.columns)) {
        auto& some = by_class[name];
        // The shortest in each type and base: few are long.
        const bool known =
            std::any_of(some.begin(), some.end(), [&](const Length* l) { return l->base == length.base; });
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

  /// The largest element in the last column, or of pieces in the first: whoever holds the row's ends counts for its absmax.
  void add_largest_at(const Length& length, std::int64_t column) {
    Problem p = made(length, 1);
    p.values = Values::one_large;
    p.at_column = column;
    p.at_row = 0;
    runs_.push_back({p, variant_});
  }

  void add_rows() {
    for (Width width : {Width::narrow, Width::middle, Width::wide}) {
      std::vector<const Length*> some;
      for (const Length& length : lengths_) {
        if (width_of(length.cut, length.columns) != width) continue;
        if (some.empty() || length.columns <= some.front()->columns + 3 * length.cut.packet) some.push_back(&length);
      }
      if (some.empty()) continue;
      for (std::int64_t rows : row_counts(op_, tuning_, width, device_)) {
        const Length& length = *some[static_cast<std::size_t>(rows) % some.size()];
        if (rows <= 5 || rows * length.columns <= most_elements) add(length, rows);
      }
    }
  }

  /// Rows of two warps, whose kernels may have several side by side, of which some take a way that others do not: of every mean, and
  /// as many as fill every multiprocessor.
  void add_rows_that_differ() {
    for (const Length& length : lengths_) {
      if (!length.cut.tiles || length.cut.cluster > 1 || length.base->norm != NormKind::layer) continue;
      if (length.columns <= length.cut.tile || length.columns > 2 * length.cut.tile) continue;
      Problem p = made(length, std::max<std::int64_t>(kinds_of_means, 2 * device_.sm_count + 2));
      p.values = Values::means;
      if (served_.by(variant_, p)) runs_.push_back({p, variant_});
      return;
    }
  }

  /// NaN and one large element in x, NaN and an overflowing product in the weight, at every place.
  void add_places() {
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

  /// Every kind of value, where rows take two warps or two turns and have a rest: in every type of x where its magnitudes follow
  /// from the type, else in one.
  void add_kinds() {
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

  /// The longest row that the variant holds in each type, where registers and shared memory are full: fewer stages may fit then, and
  /// no second row side by side. As many rows as blocks would have several of, or use a stage again.
  void add_longest() {
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

  /// A single packet or column has nearly all that float32 holds of a sum of squares.
  void add_shortest_of_large() {
    if (op_ == Operation::activation_quant) return;
    for (const Length& one : lengths_) {
      if (one.base->x == f16 || one.base->norm == NormKind::layer) continue;
      return add_kind(one, Values::large);
    }
  }

  /// More rows than 16 bits count, where a warp or less takes a row: few threads, and as many blocks as may be.
  void add_many_rows() {
    constexpr std::int64_t many = 65537;
    const Length& length = lengths_.front();
    const bool few_threads = length.cut.tiles ? length.cut.cluster == 1 : length.cut.warps <= 1;
    if (few_threads) add(length, many);
  }

 private:
  /// Of the means that are far from zero it is the squares' digits: those of few bfloat16 values are summed exactly.
  static bool follows_the_type(Values values) {
    return values == Values::huge_mean || values == Values::means || values == Values::tiny_variance ||
           values == Values::large || values == Values::largest || values == Values::huge || values == Values::tiny ||
           values == Values::subnormals || values == Values::at_floor || values == Values::huge_weight;
  }

  /// Of the lengths at which x has that type; null where there are none.
  const Length* where_kinds_are(DType x) const {
    const Length* found = nullptr;
    for (const Length& one : lengths_) {
      if (one.base->x != x) continue;
      if (found == nullptr || (one.columns <= 600 && one.columns % 64 == one.cut.packet % 64)) found = &one;
    }
    return found;
  }

  void add_kind(const Length& length, Values values) {
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

  /// What else is added or multiplied lies near float32's ends too: nothing may be taken for the usual 1e-5.
  void add_with_extremes(Problem p) {
    const bool tiny = p.values == Values::tiny;
    const bool forward = op_ == Operation::norm_quant_forward;  // a gradient would overflow
    if (tiny || forward) p.eps = 1e-20F;
    if (p.quantisation.has_static_scale()) p.quantisation.static_scale = tiny ? 1e11F : 1e-11F;
    if (tiny || forward || p.quantisation.has_static_scale()) runs_.push_back({p, variant_});
  }

  /// Of many rows; wider ones are as long as they have to be, but few.
  static constexpr std::int64_t most_elements = 70000;
  /// Rows of Values::means before they repeat.
  static constexpr std::int64_t kinds_of_means = 12;

  void look_at(const Problem& base) {
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

  /// Rounding, guard pages and, where alignment does not matter, where tensors lie follow from the size, so that variants share problems.
  Problem made(const Length& length, std::int64_t rows) const {
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
  void add(const Length& length, std::int64_t rows) {
    const Problem p = made(length, rows);
    if (served_.by(variant_, p)) runs_.push_back({p, variant_});
  }

  /// Rows of three warps or, where blocks share them, of two in some block; of a loop two turns.
  const Length* where_all_places_are() const {
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

  const Served& served_;
  std::size_t variant_;
  Tuning tuning_;
  Operation op_;
  DeviceInfo device_;
  std::uint64_t seed_;
  std::vector<Run>& runs_;
  std::vector<Length> lengths_;
};

}  // namespace

std::string algorithm_of(std::string_view variant) {
  for (std::size_t i = 0; i + 2 < variant.size(); ++i) {
    const char letter = variant[i + 1], digit = variant[i + 2];
    if (variant[i] == '_' && letter >= 'a' && letter <= 'z' && digit >= '0' && digit <= '9') {
      return std::string(variant.substr(0, i));
    }
  }
  return std::string(variant);
}

std::vector<Run> row_cells(const Served& served, Operation op, const DeviceInfo& device, std::uint64_t seed) {
  std::vector<Run> runs;
  const std::vector<Base> bases = bases_of(op);
  std::set<std::pair<std::string, std::string>> with_kinds;
  std::set<std::string> with_many_rows;
  std::set<std::size_t> with_longest;
  for (const Base& base : bases) {
    for (std::size_t v = 0; v < served.variants().size(); ++v) {
      Cell cell(served, v, base, device, seed, runs);
      if (!cell.served()) continue;
      cell.add_columns();
      cell.add_rows();
      cell.add_places();
      cell.add_rows_that_differ();
      if (with_longest.insert(v).second) cell.add_longest();
      if (!with_kinds.insert({algorithm_of(served.variants()[v].name), base.form}).second) continue;
      cell.add_kinds();
      cell.add_shortest_of_large();
      if (with_many_rows.insert(algorithm_of(served.variants()[v].name)).second) cell.add_many_rows();
      const auto add_kinds_of = [&](const Problem& problem) {
        const Base one{base.form, {problem}};
        Cell cell_of_one(served, v, one, device, seed, runs);
        if (cell_of_one.served()) cell_of_one.add_kinds();
      };
      const bool other = base.form == "any_other";
      // Formats and scales differ in what they make of a NaN and an infinity.
      if (base.form == "rms_other_codes" || (other && op == Operation::activation_quant)) {
        std::for_each(base.problems.begin(), base.problems.end(), add_kinds_of);
      }
      if ((base.form != "any" && !other) || op == Operation::activation_quant) continue;
      if (base.form == "any") {
        for (const Problem& problem : without_vectors(op)) add_kinds_of(problem);
      }
      for (const Quantisation& q : other ? std::vector{fp8, static_fp8, static_int8} : std::vector{Quantisation{}}) {
        const std::vector<Problem> with_bias = both_outputs_with_bias(op, q);
        for (std::size_t first : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{4}}) {
          add_kinds_of(with_bias[first]);
        }
      }
    }
  }
  return runs;
}

}  // namespace normquant::validate::space
