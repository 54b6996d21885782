#include "bench/tune/invariant_price.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>

#include "kernels/choice/cost_model.hpp"
#include "kernels/choice/installed_models.hpp"
#include "output/table.hpp"
#include "validate/lookalike.hpp"

namespace normquant::tune {
namespace {

constexpr std::size_t shared_memory_of_sm_90 = std::size_t{227} * 1024;

double median_of(const TimedCase& timed, std::string_view variant) {
  const auto found =
      std::find_if(timed.times.begin(), timed.times.end(), [&](const VariantTime& t) { return t.variant == variant; });
  return found == timed.times.end() ? 0 : found->median_us;
}

/// Of cases that have both times: number, mean, worst, and the worst from least_rows_of_worst rows up.
struct Figures {
  int cases = 0;
  double sum = 0;
  const CasePrice *worst = nullptr, *worst_of_many = nullptr;

  void add(const CasePrice& one) {
    const auto worse = [&](const CasePrice* than) { return than == nullptr || one.price() > than->price(); };
    ++cases;
    sum += one.price();
    if (worse(worst)) worst = &one;
    if (one.point.rows >= least_rows_of_worst && worse(worst_of_many)) worst_of_many = &one;
  }
  double mean() const { return cases == 0 ? 0 : sum / cases; }
};

std::string percent(double share) { return fmt::format("{:.1f}%", share * 100); }

std::string form_name(const choice::Point& point) {
  return choice::form_text(point.form) + (point.aligned ? "" : ", unaligned");
}

using Takes = std::function<bool(const CasePrice&)>;

/// Rows of the table of figures: each operation, its forms, and its numbers of rows.
std::vector<std::pair<std::string, Takes>> groups(const std::vector<CasePrice>& cases) {
  std::vector<std::pair<std::string, Takes>> all;
  all.emplace_back("all", [](const CasePrice&) { return true; });
  for (const Operation op : all_operations) {
    const auto of = [op](const CasePrice& one) { return one.point.op == op; };
    if (std::none_of(cases.begin(), cases.end(), of)) continue;
    all.emplace_back(std::string(name_of(op)), of);
    std::vector<std::string> forms;
    for (const CasePrice& one : cases) {
      const std::string form = form_name(one.point);
      if (!of(one) || std::find(forms.begin(), forms.end(), form) != forms.end()) continue;
      forms.push_back(form);
      all.emplace_back("  " + form,
                       [=](const CasePrice& other) { return of(other) && form_name(other.point) == form; });
    }
    for (const auto& [least, most] : {std::pair(1, 16), {17, 127}, {128, 1024}, {1025, 1 << 30}}) {
      const std::string name =
          most == 1 << 30 ? fmt::format("  {} rows and more", least) : fmt::format("  {} to {} rows", least, most);
      all.emplace_back(name, [=, low = least, high = most](const CasePrice& one) {
        return of(one) && one.point.rows >= low && one.point.rows <= high;
      });
    }
  }
  return all;
}

std::string table_of_cases(std::vector<CasePrice> cases) {
  std::stable_sort(cases.begin(), cases.end(), [](const CasePrice& a, const CasePrice& b) {
    const auto key = [](const CasePrice& one) {
      return std::tuple(one.point.op, one.point.type, one.point.form, !one.point.aligned, one.point.columns,
                        one.point.rows);
    };
    return key(a) < key(b);
  });
  output::Table table;
  table.columns = {{"case"}, {"auto"}, {"us", true}, {"invariant"}, {"us", true}, {"price", true}};
  for (const CasePrice& one : cases) {
    table.rows.push_back({one.text, one.chosen, fmt::format("{:.2f}", one.chosen_us), one.invariant,
                          fmt::format("{:.2f}", one.invariant_us), percent(one.price())});
  }
  return output::to_terminal(table);
}

}  // namespace

DeviceInfo device_like(const TimedDevice& timed) {
  DeviceInfo device;
  device.name = timed.name;
  device.compute_capability = timed.compute_capability;
  device.sm_count = timed.sm_count;
  device.shared_memory_per_block = shared_memory_of_sm_90;
  device.max_cluster_blocks = timed.compute_capability >= 90 ? 16 : 1;
  if (const choice::CostModel* model = choice::model_for(device)) {
    device.resident_clusters = model->plan_device.resident_clusters;
  }
  return device;
}

Prices prices(const std::vector<TimedCase>& cases, const DeviceInfo& device) {
  Prices all;
  for (const TimedCase& timed : cases) {
    CasePrice one{timed.point, timed.text, {}, {}};
    bool invariant = false;
    with_operation(timed.point.op, [&]<class Args>(std::type_identity<Args>) {
      if constexpr (!is_layer_arguments<Args>) {
        const Args args = validate::lookalike<Args>(timed.problem);
        const Variant<Args>& chosen = choose_variant(args, device, true);
        invariant = chosen.row_invariant;
        one.chosen = choose_variant(args, device).name;
        one.invariant = chosen.name;
      }
    });
    if (!invariant) continue;
    one.chosen_us = median_of(timed, one.chosen);
    one.invariant_us = median_of(timed, one.invariant);
    if (one.chosen_us > 0 && one.invariant_us > 0) {
      all.cases.push_back(std::move(one));
    } else {
      all.not_timed.push_back(fmt::format("{}: {}", timed.text, one.invariant_us > 0 ? one.chosen : one.invariant));
    }
  }
  return all;
}

std::string to_text(const Prices& prices) {
  std::string text = table_of_cases(prices.cases) + "\n";
  output::Table table;
  table.columns = {{"price of the row-invariant choice"},
                   {"cases", true},
                   {"mean", true},
                   {"worst", true},
                   {fmt::format("worst from {} rows", least_rows_of_worst), true}};
  Figures of_all;
  for (const auto& [name, takes] : groups(prices.cases)) {
    Figures figures;
    for (const CasePrice& one : prices.cases) {
      if (takes(one)) figures.add(one);
    }
    if (figures.cases == 0) continue;
    if (table.rows.empty()) of_all = figures;
    table.rows.push_back({name, std::to_string(figures.cases), percent(figures.mean()), percent(figures.worst->price()),
                          figures.worst_of_many == nullptr ? "" : percent(figures.worst_of_many->price())});
  }
  text += output::to_terminal(table);
  for (const std::string& name : prices.not_timed) text += fmt::format("not timed, and not counted: {}\n", name);
  const bool met = of_all.cases > 0 && of_all.mean() <= mean_price_target &&
                   (of_all.worst_of_many == nullptr || of_all.worst_of_many->price() <= worst_price_target);
  return text + fmt::format("target (mean {}, worst {} from {} rows up): {}\n", percent(mean_price_target),
                            percent(worst_price_target), least_rows_of_worst, met ? "met" : "NOT met");
}

}  // namespace normquant::tune
