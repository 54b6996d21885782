#include "choice/cost_model.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "choice/text_lines.hpp"

namespace normquant::choice {
namespace {

constexpr std::array<std::string_view, model_form_count> form_names = {"rms", "codes", "residual", "layer", "no_out"};

double parse_number(std::string_view word, double least, double most, const std::string& what) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || !(value >= least && value <= most)) {
    fail(what + " is " + quoted(word) + "; it must be a number from " + std::to_string(std::lround(least)) + " to " +
         std::to_string(std::lround(most)));
  }
  return value;
}

int parse_whole(std::string_view word, int least, int most, const std::string& what) {
  const double value = parse_number(word, least, most, what);
  if (value != std::floor(value)) fail(what + " is " + quoted(word) + "; it must be a whole number");
  return static_cast<int>(value);
}

class Parser {
 public:
  explicit Parser(CostModel& model) : model_(model) {}

  void parse_line(std::string_view line) {
    const std::string_view word = take_word(line);
    if (word.empty() || word.front() == '#') return;
    if (word == "device") {
      model_.device = line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
      while (!model_.device.empty() && model_.device.back() == '\r') model_.device.pop_back();
      return;
    }
    if (word == "compute_capability") {
      model_.compute_capability = static_cast<int>(std::lround(10 * parse_number(take_word(line), 1, 100, "it")));
      return;
    }
    if (word == "sm_count") {
      model_.plan_device.sm_count = parse_whole(take_word(line), 1, 1 << 20, "sm_count");
      return;
    }
    if (word == "resident_clusters") {
      for (int& clusters : model_.plan_device.resident_clusters) {
        clusters = parse_whole(take_word(line), 0, 1 << 20, "a number of clusters");
      }
      return;
    }
    const std::optional<Operation> op = operation_named(word);
    const bool modelled = op == Operation::norm_quant_forward || op == Operation::norm_quant_backward;
    if (!modelled || word != name_of(*op))
      fail(quoted(word) + " is neither a line of the head nor a modelled operation");
    parse_costs(*op, line);
  }

 private:
  VariantCosts& costs_of(Operation op, std::string_view name) {
    std::vector<VariantCosts>& all = model_.variants[static_cast<std::size_t>(op)];
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& costs) { return costs.variant == name; });
    if (found != all.end()) return *found;
    if (all.size() == CostRanking::most) fail("there are more than 32 variants of an operation");
    all.emplace_back().variant = name;
    return all.back();
  }

  void parse_costs(Operation op, std::string_view line) {
    const std::string_view name = take_word(line), form = take_word(line);
    VariantCosts& costs = costs_of(op, name);
    const auto at = std::find(form_names.begin(), form_names.end(), form);
    if (form != "all" && at == form_names.end()) {
      fail(quoted(form) + " is not a form; known are all, rms, codes, residual, layer, no_out");
    }
    const auto first = form == "all" ? 0 : static_cast<std::size_t>(at - form_names.begin());
    const std::size_t end = form == "all" ? model_form_count : first + 1;
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
      const std::size_t equals = std::min(word.find('='), word.size());
      const std::string_view what = word.substr(0, equals), value = word.substr(std::min(equals + 1, word.size()));
      for (std::size_t i = first; i < end; ++i) set(costs, i, what, value);
    }
  }

  static void set(VariantCosts& costs, std::size_t form, std::string_view what, std::string_view value) {
    const std::string name(what);
    if (what == "most_threads") {
      costs.limits[form].most_threads = parse_whole(value, 1, 1024, name);
      return;
    }
    if (what == "warps") {
      costs.limits[form].warps = parse_whole(value, 1, 64, name);
      return;
    }
    const auto& names = feature_names();
    const auto found = std::find(names.begin(), names.end(), what);
    if (found == names.end()) fail(quoted(what) + " is nothing that the model knows of a launch");
    costs.coefficients[form][static_cast<std::size_t>(found - names.begin())] +=
        static_cast<float>(parse_number(value, -1000, 1000, name));
  }

  CostModel& model_;
};

}  // namespace

std::size_t model_form(const Point& point) {
  if ((point.form & form_layer) != 0) return 3;
  if ((point.form & (form_residual | form_dresidual)) != 0) return 2;
  if (point.op == Operation::norm_quant_backward) return (point.form & (form_out | form_codes)) == 0 ? 4 : 0;
  return (point.form & form_codes) != 0 ? 1 : 0;
}

bool parse_model(std::string_view text, CostModel& model, std::string& why) {
  model = {};
  Parser parser(model);
  if (!for_each_line(text, why, [&parser](std::string_view line) { parser.parse_line(line); })) return false;
  const bool empty = std::all_of(model.variants.begin(), model.variants.end(), [](const auto& v) { return v.empty(); });
  if (model.device.empty()) why = "it does not say 'device NAME'";
  if (!model.device.empty() && empty) why = "it has no coefficients";
  return !model.device.empty() && !empty;
}

namespace {

/// Four decimals, whatever the locale; empty for 0.0000.
std::string coefficient_text(float value) {
  const long parts = std::lround(std::abs(value) * 10000);
  if (parts == 0) return {};
  const std::string decimals = std::to_string(10000 + parts % 10000).substr(1);
  return (value < 0 ? "-" : "") + std::to_string(parts / 10000) + "." + decimals;
}

/// Those that are the same in all forms that are served; 0 for the others.
Features shared_coefficients(const VariantCosts& costs) {
  Features shared{};
  bool first = true;
  for (std::size_t form = 0; form < model_form_count; ++form) {
    if (costs.limits[form].most_threads == 0) continue;
    for (std::size_t i = 0; i < feature_count; ++i) {
      if (first) shared[i] = costs.coefficients[form][i];
      if (std::abs(shared[i] - costs.coefficients[form][i]) > 0) shared[i] = 0;
    }
    first = false;
  }
  return shared;
}

/// Those that are not 0, less `without`.
std::string coefficients_text(const Features& coefficients, const Features& without) {
  std::string text;
  for (std::size_t i = 0; i < feature_count; ++i) {
    const std::string value = coefficient_text(coefficients[i] - without[i]);
    if (!value.empty()) text += " " + std::string(feature_names()[i]) + "=" + value;
  }
  return text;
}

}  // namespace

std::string to_text(const CostModel& model, const std::vector<std::string>& comments) {
  std::string text;
  for (const std::string& comment : comments) text += "# " + comment + "\n";
  text += "device " + model.device + "\n";
  if (model.compute_capability > 0) {
    text += "compute_capability " + std::to_string(model.compute_capability / 10) + "." +
            std::to_string(model.compute_capability % 10) + "\n";
  }
  text += "sm_count " + std::to_string(model.plan_device.sm_count) + "\nresident_clusters";
  for (const int clusters : model.plan_device.resident_clusters) text += " " + std::to_string(clusters);
  text += "\n";
  for (const Operation op : all_operations) {
    for (const VariantCosts& costs : model.variants[static_cast<std::size_t>(op)]) {
      const std::string start = std::string(name_of(op)) + " " + costs.variant + " ";
      const Features shared = shared_coefficients(costs);
      const std::string all = coefficients_text(shared, {});
      if (!all.empty()) text += start + "all" + all + "\n";
      for (std::size_t form = 0; form < model_form_count; ++form) {
        const PlanLimits& limits = costs.limits[form];
        if (limits.most_threads == 0) continue;
        text += start + std::string(form_names[form]) + " most_threads=" + std::to_string(limits.most_threads) +
                " warps=" + std::to_string(limits.warps) + coefficients_text(costs.coefficients[form], shared) + "\n";
      }
    }
  }
  return text;
}

CostRanking rank(const CostModel& model, const Point& point) {
  CostRanking ranking;
  if (size_of(point.type) != 2 || point.rows < 1 || point.columns < 1) return ranking;
  const ProblemSize size = size_of_problem(point);
  const std::size_t form = model_form(point);
  Features features;
  for (const VariantCosts& costs : model.variants[static_cast<std::size_t>(point.op)]) {
    const auto plan = plan_of(costs.tuning, costs.limits[form], model.plan_device, point);
    if (!plan) continue;
    fill_features(size, point, *plan, model.plan_device.sm_count, features);
    float cost = 0;
    for (std::size_t i = 0; i < feature_count; ++i) cost += features[i] * costs.coefficients[form][i];
    std::size_t at = ranking.count++;
    for (; at > 0 && ranking.costs[at - 1] > cost; --at) {
      ranking.places[at] = ranking.places[at - 1];
      ranking.costs[at] = ranking.costs[at - 1];
    }
    ranking.places[at] = static_cast<std::uint16_t>(costs.place);
    ranking.costs[at] = cost;
  }
  return ranking;
}

}  // namespace normquant::choice
