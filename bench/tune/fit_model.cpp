#include "bench/tune/fit_model.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include <normquant/variant.hpp>

namespace normquant::tune {
namespace {

using choice::CostModel;
using choice::feature_count;
using choice::Features;
using choice::model_form_count;
using choice::VariantCosts;

/// What a form may have coefficients of its own for; the others are shared by all forms of a variant.
constexpr std::array<std::string_view, 11> of_forms = {"always",     "rows>5",    "rows>9",       "columns>11",
                                                       "columns>13", "bytes>24",  "large",        "early",
                                                       "idle*large", "last_wave", "threads*large"};
constexpr double least_weight = 0.01;

std::array<std::size_t, of_forms.size()> form_features() {
  std::array<std::size_t, of_forms.size()> places{};
  const auto& names = choice::feature_names();
  for (std::size_t i = 0; i < places.size(); ++i) {
    places[i] = static_cast<std::size_t>(std::find(names.begin(), names.end(), of_forms[i]) - names.begin());
  }
  return places;
}

/// A variant's timing as a row of the least squares: the columns that are not zero.
struct Row {
  std::vector<std::pair<Eigen::Index, double>> columns;
  double log_us = 0, weight = 1;
};

/// The unknowns of one operation: of every variant those of all forms, then those of each form.
class Unknowns {
 public:
  Unknowns(Operation op, const CostModel& limits)
      : op_(op), limits_(limits), variants_(limits.variants[static_cast<std::size_t>(op)]) {}

  Eigen::Index count() const { return static_cast<Eigen::Index>(variants_.size() * a_variant); }

  /// The rows of a case, those of variants that are not modelled left out.
  std::vector<Row> rows_of(const TimedCase& timed, const FitRule& rule) const {
    std::vector<Row> rows;
    double best = std::numeric_limits<double>::infinity();
    const std::size_t form = choice::model_form(timed.point);
    const choice::ProblemSize size = choice::size_of_problem(timed.point);
    for (std::size_t v = 0; v < variants_.size(); ++v) {
      const auto found = std::find_if(timed.times.begin(), timed.times.end(),
                                      [&](const VariantTime& time) { return time.variant == variants_[v].variant; });
      const auto plan =
          choice::plan_of(variants_[v].tuning, variants_[v].limits[form], limits_.plan_device, timed.point);
      if (found == timed.times.end() || !plan) continue;
      Features features;
      choice::fill_features(size, timed.point, *plan, limits_.plan_device.sm_count, features);
      Row row;
      row.log_us = std::log(found->median_us);
      best = std::min(best, row.log_us);
      for (std::size_t i = 0; i < feature_count; ++i) add(row, v * a_variant + i, features[i]);
      for (std::size_t i = 0; i < of_forms.size(); ++i) {
        add(row, v * a_variant + feature_count + form * of_forms.size() + i, features[places_[i]]);
      }
      rows.push_back(std::move(row));
    }
    for (Row& row : rows) {
      const double behind = (row.log_us - best) / rule.near;
      row.weight = 1 / (1 + behind * behind) + least_weight;
    }
    return rows;
  }

  void write(const Eigen::VectorXd& solution, std::vector<VariantCosts>& variants) const {
    for (std::size_t v = 0; v < variants.size(); ++v) {
      for (std::size_t form = 0; form < model_form_count; ++form) {
        Features& coefficients = variants[v].coefficients[form];
        for (std::size_t i = 0; i < feature_count; ++i) coefficients[i] = at(solution, v * a_variant + i);
        for (std::size_t i = 0; i < of_forms.size(); ++i) {
          coefficients[places_[i]] += at(solution, v * a_variant + feature_count + form * of_forms.size() + i);
        }
      }
    }
  }

  Operation op() const { return op_; }

 private:
  static constexpr std::size_t a_variant = feature_count + model_form_count * of_forms.size();
  static void add(Row& row, std::size_t column, float value) {
    if (value != 0) row.columns.emplace_back(static_cast<Eigen::Index>(column), value);
  }
  static float at(const Eigen::VectorXd& solution, std::size_t i) {
    return static_cast<float>(solution(static_cast<Eigen::Index>(i)));
  }

  Operation op_;
  const CostModel& limits_;
  const std::vector<VariantCosts>& variants_;
  std::array<std::size_t, of_forms.size()> places_ = form_features();
};

/// Sums of the least squares, in which a case's own level, the same for all of its variants, does not count.
struct Squares {
  Eigen::MatrixXd matrix;
  Eigen::VectorXd right;

  void add_outer(const std::vector<std::pair<Eigen::Index, double>>& columns, double factor, double value) {
    for (const auto& [i, x] : columns) {
      right(i) += factor * x * value;
      for (const auto& [j, y] : columns) {
        if (j <= i) matrix(i, j) += factor * x * y;
      }
    }
  }

  void add(const std::vector<Row>& rows) {
    if (rows.size() < 2) return;
    std::map<Eigen::Index, double> sums;
    double weights = 0, level = 0;
    for (const Row& row : rows) {
      add_outer(row.columns, row.weight, row.log_us);
      for (const auto& [i, x] : row.columns) sums[i] += row.weight * x;
      weights += row.weight;
      level += row.weight * row.log_us;
    }
    add_outer({sums.begin(), sums.end()}, -1 / weights, level);
  }
};

void fit_operation(const Unknowns& unknowns, const std::vector<TimedCase>& cases, const FitRule& rule,
                   std::vector<VariantCosts>& variants) {
  const Eigen::Index count = unknowns.count();
  if (count == 0) return;
  Squares squares{Eigen::MatrixXd::Zero(count, count), Eigen::VectorXd::Zero(count)};
  for (const TimedCase& timed : cases) {
    if (timed.point.op == unknowns.op() && size_of(timed.point.type) == 2) squares.add(unknowns.rows_of(timed, rule));
  }
  squares.matrix.diagonal().array() += rule.ridge;
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> solver(squares.matrix);  // in place, of the lower half
  unknowns.write(solver.solve(squares.right), variants);
}

}  // namespace

CostModel fit_model(const std::vector<TimedCase>& cases, const CostModel& limits, const FitRule& rule) {
  CostModel model = limits;
  for (const Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward}) {
    fit_operation(Unknowns(op, limits), cases, rule, model.variants[static_cast<std::size_t>(op)]);
  }
  return model;
}

Regrets regrets_of_model(const CostModel& model, const std::vector<TimedCase>& cases) {
  Regrets regrets;
  for (const TimedCase& timed : cases) {
    const choice::CostRanking ranking = choice::rank(model, timed.point);
    if (ranking.count == 0) continue;
    const auto known = with_operation(timed.point.op, []<class Args>(std::type_identity<Args>) {
      std::vector<std::string_view> names;
      if constexpr (!is_layer_arguments<Args>) {
        for (const auto& variant : variants<Args>(DeviceKind::host)) names.push_back(variant.name);
      }
      return names;
    });
    const VariantTime *chosen = nullptr, *best = &timed.times.front();
    for (std::size_t i = 0; i < ranking.count && chosen == nullptr; ++i) {
      for (const VariantTime& time : timed.times) {
        if (time.variant == known[ranking.places[i]]) chosen = &time;
      }
    }
    for (const VariantTime& time : timed.times) {
      if (time.median_us < best->median_us) best = &time;
    }
    if (chosen == nullptr) {
      regrets.not_chosen.push_back(timed.text);
      continue;
    }
    regrets.cases.push_back(
        {timed.point.op, timed.text, chosen->variant, best->variant, chosen->median_us, best->median_us});
  }
  return regrets;
}

Regrets cross_validated(const std::vector<TimedCase>& cases, const CostModel& limits, int folds, const FitRule& rule) {
  const auto shape_of = [](const TimedCase& timed) { return std::pair(timed.point.rows, timed.point.columns); };
  // Shapes in an order that has nothing to do with their sizes.
  const auto scattered = [](std::pair<std::int64_t, std::int64_t> shape) {
    return static_cast<std::uint64_t>(shape.first * 1'000'003 + shape.second) * 0x9e3779b97f4a7c15ULL;
  };
  std::map<std::uint64_t, int> fold_of;
  for (const TimedCase& timed : cases) fold_of.emplace(scattered(shape_of(timed)), 0);
  int next = 0;
  for (auto& [unused, fold] : fold_of) fold = next++ % folds;
  Regrets regrets;
  for (int fold = 0; fold < folds; ++fold) {
    std::vector<TimedCase> fitted, judged;
    for (const TimedCase& timed : cases) {
      (fold_of.at(scattered(shape_of(timed))) == fold ? judged : fitted).push_back(timed);
    }
    const Regrets some = regrets_of_model(fit_model(fitted, limits, rule), judged);
    regrets.cases.insert(regrets.cases.end(), some.cases.begin(), some.cases.end());
    regrets.not_chosen.insert(regrets.not_chosen.end(), some.not_chosen.begin(), some.not_chosen.end());
  }
  return regrets;
}

double regret_quantile(const Regrets& regrets, double share) {
  if (regrets.cases.empty()) return 0;
  std::vector<double> values;
  for (const CaseRegret& regret : regrets.cases) values.push_back(regret.regret());
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place), above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

}  // namespace normquant::tune
