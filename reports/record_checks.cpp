#include "reports/record_checks.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>
#include <nlohmann/json.hpp>

#include "reports/json_fields.hpp"
#include "reports/order_statistics.hpp"

namespace normquant::reports {
namespace {

using nlohmann::json;

/// Records round times to 1e-4 us: samples and what was found of them by half of that each, and double does the rest.
constexpr double half_step = 0.5e-4;
double rounding_of(double microseconds) { return 2 * half_step + 1e-9 * std::abs(microseconds); }

struct Quantile {
  const char* key;
  double share;
};
constexpr Quantile quantiles[] = {{"min_us", 0},   {"p05_us", 0.05}, {"q1_us", 0.25}, {"median_us", 0.5},
                                  {"q3_us", 0.75}, {"p95_us", 0.95}, {"max_us", 1}};

/// Of one figure; `of` is "" or "cold." or "hot.".
std::string contradiction_in_figure(const json& figure, const std::string& of) {
  const auto found = figure.find("samples");
  if (found == figure.end()) return {};  // what must be there is asked for elsewhere
  if (!found->is_array()) return fmt::format("\"{}samples\" is no list", of);
  std::vector<double> samples;
  for (const json& sample : *found) {
    if (!sample.is_number() || !(sample.get<double>() > 0) || !std::isfinite(sample.get<double>())) {
      return fmt::format("\"{}samples\" holds something else than positive numbers", of);
    }
    samples.push_back(sample.get<double>());
  }
  if (samples.empty()) return fmt::format("\"{}samples\" is empty", of);
  const auto count = figure.find("count");
  if (count != figure.end() && (!count->is_number_integer() || *count != samples.size())) {
    return fmt::format("\"{}count\" is {}, and there are {} samples", of, count->dump(), samples.size());
  }
  const std::vector<double> sorted = ascending(std::move(samples));
  for (const auto& [key, share] : quantiles) {
    const auto said = figure.find(key);
    if (said == figure.end()) continue;
    if (!said->is_number()) return fmt::format("\"{}{}\" is not a positive number", of, key);
    const double is = quantile(sorted, share);
    if (!(std::abs(said->get<double>() - is) <= rounding_of(is))) {
      return fmt::format("\"{}{}\" is {}, and its samples have {:.4f}", of, key, said->dump(), is);
    }
  }
  return {};
}

/// 5e-5 of the time is 5e-5 / time of what is divided by it.
std::string contradiction_in_rates(const json& record) {
  const auto median = number(record, "median_us");
  if (!median || !(*median > 0)) return {};
  const double relative = half_step / *median;
  const auto bytes = number(record, "bytes"), rate = number(record, "gb_per_s");
  if (bytes && rate) {
    const double is = *bytes / *median / 1e3;
    if (!(std::abs(*rate - is) <= 0.05 + is * relative * 1.001 + 1e-9)) {
      return fmt::format("\"gb_per_s\" is {}, and {} bytes in {} us are {:.1f}", *rate, *bytes, *median, is);
    }
  }
  const auto copy = number(record, "copy_us"), share = number(record, "share_of_copy");
  if (copy && !(*copy > 0)) return "\"copy_us\" is not a positive number";
  if (copy && share) {
    const double is = *copy / *median;
    if (!(std::abs(*share - is) <= 0.5e-4 + relative * (1 + is) * 1.001 + 1e-9)) {
      return fmt::format("\"share_of_copy\" is {}, and {} us over {} us are {:.4f}", *share, *copy, *median, is);
    }
  }
  return {};
}

}  // namespace

std::string contradiction_in(const json& record) {
  if (std::string found = contradiction_in_figure(record, ""); !found.empty()) return found;
  for (const char* key : {"cold", "hot"}) {
    const auto figure = record.find(key);
    if (figure == record.end() || !figure->is_object()) continue;
    if (std::string found = contradiction_in_figure(*figure, fmt::format("{}.", key)); !found.empty()) return found;
  }
  return contradiction_in_rates(record);
}

}  // namespace normquant::reports
