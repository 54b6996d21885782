#include "validate/space/cells.hpp"

#include <algorithm>
#include <set>

#include "validate/space/bases.hpp"
#include "validate/space/cell.hpp"
#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {

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
        for (const Problem& problem : base.problems) {  // h that is stored narrower than it was computed
          if (problem.h_source == HSource::stored && problem.x == f32) add_kinds_of(problem);
        }
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
