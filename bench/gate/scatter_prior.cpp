#include "bench/gate/scatter_prior.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "output/output_file.hpp"

namespace normquant::gate {
namespace {

constexpr double bandwidth = 1.0986;  // ln 3
constexpr double most_degrees = 1000;

/// x with trigamma(x) = y, for y > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix).
double inverse_trigamma(double y) {
  constexpr double step = 1e-4;
  double x = 0.5 + 1 / y;
  for (int i = 0; i < 50; ++i) {
    const double value = boost::math::trigamma(x);
    const double slope = (boost::math::trigamma(x * (1 + step)) - value) / (x * step);
    const double change = value * (1 - value / y) / slope;
    x += change;
    if (std::abs(change) < 1e-8 * x) break;
  }
  return x;
}

}  // namespace

ScatterPrior::ScatterPrior(const std::vector<ObservedScatter>& observed) {
  for (const ObservedScatter& one : observed) {
    const double degrees = one.scatter.degrees;
    if (!(degrees >= 1) || !(one.microseconds > 0) || !std::isfinite(one.scatter.variance)) continue;
    const double variance = std::max(one.scatter.variance, least_scatter * least_scatter);
    points_.push_back({std::log(one.microseconds),
                       std::log(variance) - boost::math::digamma(degrees / 2) + std::log(degrees / 2),
                       boost::math::trigamma(degrees / 2), degrees});
  }
}

PairScatter ScatterPrior::at(double microseconds) const {
  if (points_.empty() || !(microseconds > 0)) return {};
  double weights = 0, squares = 0, mean = 0, degrees = 0;
  const auto weight_of = [&](const Point& point) {
    const double apart = (point.log_time - std::log(microseconds)) / bandwidth;
    return std::exp(-apart * apart / 2);
  };
  for (const Point& point : points_) {
    const double weight = weight_of(point);
    weights += weight, squares += weight * weight, mean += weight * point.level, degrees += weight * point.degrees;
  }
  if (!(weights > 0.05)) return {};
  mean /= weights;
  double spread = 0, noise = 0;
  for (const Point& point : points_) {
    const double weight = weight_of(point) / weights;
    spread += weight * (point.level - mean) * (point.level - mean), noise += weight * point.noise;
  }
  const double alike = weights * weights / squares;  // observations that would weigh as much if all weighed the same
  // One observation says how much that case scatters and nothing of how cases differ: what it knows counts as one degree.
  if (alike < 1.5) return {std::exp(mean + boost::math::digamma(0.5) - std::log(0.5)), 1};
  const double between = spread * alike / (alike - 1) - noise;
  const double half = between > 0 ? inverse_trigamma(between) : most_degrees / 2;
  const double variance = std::exp(mean + boost::math::digamma(half) - std::log(half));
  return {variance, std::min({2 * half, degrees, most_degrees})};
}

std::vector<ObservedScatter> read_scatter_history(const std::string& path) {
  std::vector<ObservedScatter> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    const auto number = [&json](const char* name) {
      const auto found = json.find(name);
      return found != json.end() && found->is_number() ? found->get<double>() : -1.0;
    };
    const ObservedScatter one{number("microseconds"), {number("variance"), number("degrees")}};
    if (one.microseconds > 0 && one.scatter.variance >= 0 && one.scatter.degrees >= 1) all.push_back(one);
  }
  return all;
}

std::string add_to_scatter_history(const std::string& path, const std::vector<ObservedScatter>& observed,
                                   std::size_t most) {
  std::vector<ObservedScatter> all = read_scatter_history(path);
  all.insert(all.end(), observed.begin(), observed.end());
  std::string text;
  for (std::size_t i = all.size() > most ? all.size() - most : 0; i < all.size(); ++i) {
    if (!(all[i].scatter.degrees >= 1)) continue;
    text += fmt::format("{{\"microseconds\":{:.4g},\"variance\":{:.4g},\"degrees\":{:.4g}}}\n", all[i].microseconds,
                        all[i].scatter.variance, all[i].scatter.degrees);
  }
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  try {
    output::write_document(path, text, output::Existing::replace);
  } catch (const Refusal& refusal) {
    return refusal.sentence;
  }
  return {};
}

}  // namespace normquant::gate
