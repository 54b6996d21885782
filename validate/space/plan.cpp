#include "validate/space/plan.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "validate/repetition.hpp"
#include "validate/space/bases.hpp"
#include "validate/space/common_factors.hpp"
#include "validate/space/factors.hpp"
#include "validate/space/layer.hpp"
#include "validate/space/served.hpp"

namespace normquant::validate::space {
namespace {

/// Rows from which a problem's repeat, so that the reference stays small.
constexpr std::int64_t rows_that_differ = 400, most_elements = std::int64_t{1} << 20;
/// More take seconds on the host device.
constexpr std::int64_t most_rows_of_smoke = 65536;
/// Threads on all rows, most of them without a column, beyond which a problem would take a share of smoke's time on the host device
/// that it is not worth: 67 rows of 8 columns by 1024 threads each take a second. 67 rows of 256 threads are no more.
constexpr std::int64_t most_threads_of_smoke = std::int64_t{67} * 256;

/// The problems of a suite in the order in which they came, each once, with the variants that it is for.
class Cases {
 public:
  void add(const Problem& problem, std::string_view variant = {}) {
    const auto [place, is_new] = places_.emplace(to_text(problem), cases_.size());
    if (is_new) {
      Case one;
      one.problem = problem;
      if (problem.rows > rows_that_differ || problem.rows * problem.columns > most_elements) {
        one.distinct_rows = distinct_rows(problem);
      }
      cases_.push_back(std::move(one));
    }
    Case& one = cases_[place->second];
    const bool for_all = variant.empty() || (!is_new && one.variants.empty());
    if (for_all) {
      one.variants.clear();
    } else if (std::find(one.variants.begin(), one.variants.end(), variant) == one.variants.end()) {
      one.variants.emplace_back(variant);
    }
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  std::vector<Case> cases_;
  std::map<std::string, std::size_t> places_;
};

/// What only size makes interesting, and named regressions.
void add_large(Cases& cases, Operation op, const DeviceInfo& device, std::uint64_t seed) {
  Problem plain = table_of(op).plain;
  plain.x = DType::bfloat16, plain.out = plain.x, plain.seed = seed;
  if (op == Operation::norm_quant_forward || op == Operation::norm_quant_backward) plain.weight = plain.x;
  // Row offsets beyond 2^31 elements with three short rows, in every tensor; and beyond it with as many elements.
  Problem far = plain;
  far.rows = 3, far.columns = 64, far.row_padding = std::int64_t{1} << 30;
  cases.add(far);
  far.codes = true, far.packed = op == Operation::weight_quant;
  if (op == Operation::norm_quant_forward) far.residual = far.x, far.residual_out = far.x;
  if (op == Operation::norm_quant_backward) far.dresidual = far.x, far.dx_residual = far.x;
  cases.add(far);
  if (op == Operation::norm_quant_forward || op == Operation::activation_quant) {
    Problem other = plain;  // the kernels of other formats and scales count their offsets themselves
    other.rows = 3, other.columns = 64, other.row_padding = std::int64_t{1} << 30;
    other.out.reset(), other.codes = true, other.quantisation = static_int8;
    cases.add(other);
  }
  if (device.kind == DeviceKind::host) return;
  const auto with = [&](std::int64_t rows, std::int64_t columns, std::int64_t padding) {
    Problem p = plain;
    p.rows = rows, p.columns = columns, p.row_padding = padding;
    cases.add(p);
  };
  with(70001, 40, 0);
  with(4099, 2560, 0);
  with(4099, 2560, 8);
  with(2111, 2563, 3);
  with(70000, 32768, 0);
}

/// Problems after many other launches on another stream.
std::vector<Case> after_others(Operation op, std::uint64_t seed) {
  std::vector<Case> all;
  for (DType x : {DType::bfloat16, DType::float32}) {
    Case one;
    one.problem = table_of(op).plain;
    one.problem.rows = 5, one.problem.columns = 1032, one.problem.x = x, one.problem.out = x, one.problem.seed = seed;
    if (op == Operation::norm_quant_forward || op == Operation::norm_quant_backward) one.problem.weight = x;
    if (op == Operation::norm_quant_backward) one.problem.bias = x;
    one.after_others = true;
    all.push_back(one);
  }
  return all;
}

/// Of the runs that cells ask for, those that show something new; small ones before large ones.
std::vector<bool> chosen_for_smoke(const std::vector<Run>& runs, const std::vector<VariantEntry>& variants) {
  std::vector<std::size_t> order(runs.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto elements = [&](std::size_t i) { return runs[i].problem.rows * runs[i].problem.columns; };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return elements(a) < elements(b); });
  std::set<Shown> shown;
  std::vector<bool> chosen(runs.size());
  for (std::size_t i : order) {
    for (const Shown& one : shown_by(variants[runs[i].variant], runs[i].problem)) {
      if (shown.insert(one).second) chosen[i] = true;
    }
  }
  return chosen;
}

void add_row_operations(Cases& cases, Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device) {
  const std::vector<VariantEntry> variants = catalogue(op, device.kind);
  const std::vector<Run> runs = all_runs(op, seed, device);
  const std::vector<bool> smoke = chosen_for_smoke(runs, variants);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (size != SuiteSize::smoke || smoke[i]) cases.add(runs[i].problem, variants[runs[i].variant].name);
  }
}

/// The problems of no class in particular. In smoke on the host device a variant of many threads a row goes without those of many rows
/// that another serves in less time.
void add_rest(Cases& cases, Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device) {
  const std::vector<VariantEntry> variants = catalogue(op, device.kind);
  const Served served(op, device);
  for (const Problem& p : rest_of(op, size, seed)) {
    std::vector<std::string_view> quick;
    bool is_served = false;
    for (std::size_t v = 0; v < variants.size(); ++v) {
      if (p.rows * variants[v].threads_per_row > most_threads_of_smoke) continue;
      quick.push_back(variants[v].name);
      is_served = is_served || served.by(v, p);
    }
    if (size != SuiteSize::smoke || device.kind != DeviceKind::host || !is_served) quick = {{}};
    for (const std::string_view name : quick) cases.add(p, name);
  }
}

}  // namespace

std::vector<Run> all_runs(Operation op, std::uint64_t seed, const DeviceInfo& device) {
  const Served served(op, device);
  return op == Operation::weight_quant ? weight_cells(served, device, seed) : row_cells(served, op, device, seed);
}

std::vector<Problem> rest_of(Operation op, SuiteSize size, std::uint64_t seed) {
  const Table table = table_of(op);
  std::vector<Problem> rest = covering_problems(table, 2, seed);
  if (size == SuiteSize::smoke) rest.resize(rest.size() / 2);
  if (size != SuiteSize::exhaustive) return rest;
  const std::vector<Problem> more = covering_problems(table, 3, seed);
  rest.insert(rest.end(), more.begin(), more.end());
  return rest;
}

std::vector<Shown> shown_by(const VariantEntry& variant, const Problem& problem) {
  if (problem.rows > most_rows_of_smoke) return {};
  const std::string form = form_of(problem), algorithm = algorithm_of(variant.name), name(variant.name);
  std::vector<Shown> all = {{name, form}};
  for (const std::string& one : classes_of(variant, problem)) {
    if (one.starts_with("M ")) {
      all.push_back({algorithm, one});
      all.push_back({form, one});
    } else if (one.starts_with("values ")) {
      const std::size_t at = one.find(" at ");
      all.push_back({algorithm, one});
      all.push_back({algorithm + ", " + form, one.substr(0, at)});
      if (at != std::string::npos) all.push_back({name, "values" + one.substr(at)});
    } else {
      all.push_back({name, one});
      all.push_back({form, one});
      // Where a second warp comes in is cheap to see, and many bugs lie there: in every form of every variant.
      if (one == "warps of the row: 2") all.push_back({name + ", " + form, one});
    }
  }
  return all;
}

std::vector<Case> cases_of(Operation op, SuiteSize size, std::uint64_t seed, const DeviceInfo& device) {
  Cases cases;
  if (is_layer(op)) {
    for (const Problem& p : layer_sizes(op, device, seed)) cases.add(p);
    for (const Problem& p : layer_values(op, seed)) cases.add(p);
  } else {
    add_row_operations(cases, op, size, seed, device);
  }
  add_rest(cases, op, size, seed, device);
  if (size != SuiteSize::smoke && is_layer(op)) {
    // Of the many rows the host device would be at work for minutes, were they for all variants.
    const char* variant = device.kind == DeviceKind::host ? "packed" : "";
    for (const Problem& p : large_layers(op, device, seed)) cases.add(p, variant);
    for (const Problem& p : far_layers(op, seed)) cases.add(p);
  }
  if (size == SuiteSize::smoke || is_layer(op)) return cases.take();
  for (const Problem& p : near_misses(op, seed)) cases.add(p);
  for (const Problem& p : gaps_of_one(op, seed)) cases.add(p);
  add_large(cases, op, device, seed);
  std::vector<Case> all = cases.take();
  for (Case& one : after_others(op, seed)) all.push_back(std::move(one));
  return all;
}

}  // namespace normquant::validate::space
