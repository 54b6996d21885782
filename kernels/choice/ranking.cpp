#include "choice/ranking.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace normquant::choice {
namespace {

constexpr float row_bytes_weight = 3, sums_weight = 3, same_size_weight = 0.25F, other_size_weight = 6;

float log_rows(const Point& point) { return std::log2(static_cast<float>(std::max<std::int64_t>(point.rows, 1))); }

float log_row_bytes(const Point& point) {
  const std::int64_t columns = std::max<std::int64_t>(point.columns, 1);
  return std::log2(static_cast<float>(columns) * static_cast<float>(size_of(point.type)));
}

float type_distance(DType a, DType b) {
  if (a == b) return 0;
  return size_of(a) == size_of(b) ? same_size_weight : other_size_weight;
}

float form_distance(Form a, Form b) {
  constexpr Form counted_apart = form_rms | form_layer | form_sums;
  const Form differing = a ^ b;
  const bool other_norm = (differing & (form_rms | form_layer)) != 0, other_sums = (differing & form_sums) != 0;
  return static_cast<float>(std::popcount(differing & ~counted_apart)) + (other_norm ? 1.0F : 0.0F) +
         (other_sums ? sums_weight : 0.0F);
}

float shape_distance(float rows_apart, float row_bytes_apart) {
  return std::abs(rows_apart) + row_bytes_weight * std::abs(row_bytes_apart);
}

}  // namespace

double distance(const Point& a, const Point& b) {
  return static_cast<double>(type_distance(a.type, b.type) + form_distance(a.form, b.form) +
                             shape_distance(log_rows(a) - log_rows(b), log_row_bytes(a) - log_row_bytes(b)));
}

struct TableIndex::Neighbour {
  const IndexedCell* cell = nullptr;
  float distance = 0;
};

/// The weighted mean over the neighbours, candidate by candidate.
class TableIndex::Blend {
 public:
  Blend(const std::array<Neighbour, most_neighbours>& neighbours, std::size_t count)
      : neighbours_(neighbours), count_(count) {}

  Ranking ranking() {
    for (std::size_t i = 0; i < count_; ++i) {
      const IndexedCell& cell = *neighbours_[i].cell;
      for (std::size_t k = 0; k < cell.count; ++k) add(cell.variants[k]);
    }
    return ranking_;
  }

 private:
  float cost_in(const IndexedCell& cell, std::uint16_t variant) const {
    for (std::size_t k = 0; k < cell.count; ++k) {
      if (cell.variants[k] == variant) return cell.costs[k];
    }
    return cell.unlisted_cost;
  }

  float expected_cost(std::uint16_t variant) const {
    float sum = 0, weights = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      const float reach = neighbours_[i].distance + 0.05F;
      const float weight = 1 / (reach * reach);
      sum += weight * cost_in(*neighbours_[i].cell, variant);
      weights += weight;
    }
    return sum / weights;
  }

  /// Behind everything that costs no more.
  void add(std::uint16_t variant) {
    if (std::find(ranking_.begin(), ranking_.end(), variant) != ranking_.end()) return;
    const float cost = expected_cost(variant);
    std::size_t at = ranking_.count++;
    for (; at > 0 && ranking_.costs[at - 1] > cost; --at) {
      ranking_.variants[at] = ranking_.variants[at - 1];
      ranking_.costs[at] = ranking_.costs[at - 1];
    }
    ranking_.variants[at] = variant;
    ranking_.costs[at] = cost;
  }

  const std::array<Neighbour, most_neighbours>& neighbours_;
  std::size_t count_;
  Ranking ranking_;
};

TableIndex::TableIndex(const TunedTable& table) {
  for (const Cell& cell : table.cells) cells_[group_of(cell.point.op, cell.point.aligned)].push_back(indexed(cell));
}

TableIndex::IndexedCell TableIndex::indexed(const Cell& cell) {
  IndexedCell result;
  result.type = cell.point.type;
  result.form = cell.point.form;
  result.rows = cell.point.rows;
  result.columns = cell.point.columns;
  result.log_rows = log_rows(cell.point);
  result.log_row_bytes = log_row_bytes(cell.point);
  std::vector<std::string>& names = names_[static_cast<std::size_t>(cell.point.op)];
  for (const Listed& listed : cell.listed) {
    if (result.count == most_listed) break;
    const auto found = std::find(names.begin(), names.end(), listed.variant);
    result.variants[result.count] = static_cast<std::uint16_t>(found - names.begin());
    result.costs[result.count] = static_cast<float>(listed.cost);
    if (found == names.end()) names.push_back(listed.variant);
    ++result.count;
  }
  const float last = result.count == most_listed ? result.costs.back() : static_cast<float>(most_listed_cost);
  result.unlisted_cost = last + 0.05F;
  return result;
}

bool TableIndex::has_cell_at(const Point& point) const {
  const std::vector<IndexedCell>& cells = cells_[group_of(point.op, point.aligned)];
  return std::any_of(cells.begin(), cells.end(), [&](const IndexedCell& cell) {
    return cell.rows == point.rows && cell.columns == point.columns && cell.form == point.form &&
           cell.type == point.type;
  });
}

Ranking TableIndex::rank(const Point& point) const {
  const float rows = log_rows(point), row_bytes = log_row_bytes(point);
  std::array<Neighbour, most_neighbours> nearest{};
  std::size_t count = 0;
  for (const IndexedCell& cell : cells_[group_of(point.op, point.aligned)]) {
    float away = shape_distance(cell.log_rows - rows, cell.log_row_bytes - row_bytes);
    if (count == most_neighbours && away >= nearest.back().distance) continue;
    away += type_distance(cell.type, point.type) + form_distance(cell.form, point.form);
    if (count == most_neighbours && away >= nearest.back().distance) continue;
    if (count < most_neighbours) ++count;
    std::size_t at = count - 1;
    for (; at > 0 && nearest[at - 1].distance > away; --at) nearest[at] = nearest[at - 1];
    nearest[at] = {&cell, away};
  }
  return Blend(nearest, count).ranking();
}

}  // namespace normquant::choice
