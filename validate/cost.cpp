#include "validate/cost.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "validate/linear_weights.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::validate {
namespace {

// Seconds of one core on the host device, bfloat16, after `scripts/validation_cost.py PROGRAM` (2026-11-30, two busy cores of an
// Intel Xeon): over the operations, the reference of an element takes 1.0e-7 to 3.0e-7; two launches of a variant and its checks
// 1.1e-7 to 5e-7 an element; one launch 7.5e-8 to 3e-6 (median 1.1e-6) for each thread of a row, and 1.6e-5 for a row of few
// threads; the layer's reference 9e-10 a product. They decide only what is far too large.
constexpr double reference_seconds = 1.5e-7;    ///< an element's input, float64 truth and bounds
constexpr double host_kernel_seconds = 8e-8;    ///< an element of one launch; a case has two
constexpr double host_row_seconds = 1.6e-5;     ///< of a launch at least, however short the row is
constexpr double host_thread_seconds = 1.1e-6;  ///< a thread of a row, which is there however short the row is
constexpr double comparison_seconds = 8e-8;     ///< an element decoded, compared, and hashed twice
constexpr double product_seconds = 3e-10;       ///< a multiplication and addition of a matrix product

constexpr double reference_bytes = 14 * sizeof(double);  ///< an element: values, truth, bounds, and temporaries

std::string duration(double seconds) {
  return seconds < 120 ? fmt::format("{:.3g} seconds", seconds) : fmt::format("{:.0f} minutes", seconds / 60);
}

double number(std::int64_t value) { return static_cast<double>(value); }

/// Bytes an element of all matrices with K_in or N columns.
double matrix_bytes(const Problem& p) {
  double bytes = number(static_cast<std::int64_t>(size_of(p.x))) * (p.op == Operation::norm_quant_backward ? 2 : 1);
  for (const std::optional<DType>& type : {p.residual, p.residual_out, p.out, p.dy, p.dresidual, p.dx_residual, p.dx}) {
    if (type) bytes += number(static_cast<std::int64_t>(size_of(*type)));
  }
  return bytes + (p.codes ? 1 : 0) + (p.packed ? 0.25 : 0);
}

/// Of one launch of every variant. weight_quant goes through its matrix as a whole: its rows have no threads of their own.
double host_seconds_a_row(const Job& job) {
  const Problem& p = job.subject.problem;
  if (p.op == Operation::weight_quant) {
    return static_cast<double>(job.variants.size()) * number(p.columns) * host_kernel_seconds;
  }
  std::map<std::string_view, double> threads;
  for (const VariantEntry& v : catalogue(p.op, DeviceKind::host)) threads[v.name] = v.threads_per_row;
  double seconds = 0;
  for (const std::string& variant : job.variants) {
    const auto known = threads.find(variant);
    const double of_threads = known == threads.end() ? 0 : known->second * host_thread_seconds;
    seconds += std::max({number(p.columns) * host_kernel_seconds, host_row_seconds, of_threads});
  }
  return seconds;
}

}  // namespace

Cost cost_of(const Job& job) {
  const Problem& p = job.subject.problem;
  const bool on_host = job.device.kind == DeviceKind::host;
  if (on_host && job.subject.gpu_only) return {};
  const double rows = number(p.rows), columns = number(p.columns), elements = rows * columns;
  const double distinct = job.subject.distinct_rows > 0 ? std::min(rows, number(job.subject.distinct_rows)) : rows;
  const double variants = number(static_cast<std::int64_t>(job.variants.size()));
  Cost cost;
  cost.bytes = distinct * columns * reference_bytes + (on_host ? 2 * elements * matrix_bytes(p) : 0);
  cost.seconds = distinct * columns * reference_seconds + variants * elements * comparison_seconds;
  if (on_host) cost.seconds += 2 * rows * host_seconds_a_row(job);
  if (!is_layer(p.op)) return cost;
  const double outputs = number(p.outputs()), weights = outputs * columns;
  const double features = number(distinct_features(p));
  cost.bytes += features * columns * reference_bytes + 2 * distinct * features * sizeof(double);
  // Weights in every form, out and the products' float32 copies.
  if (on_host) cost.bytes += weights * 14 + rows * outputs * 12 + elements * 8;
  cost.seconds += features * columns * reference_seconds + distinct * features * columns * 4 * product_seconds +
                  variants * (weights + rows * outputs) * comparison_seconds;
  if (on_host) {
    cost.seconds += variants * 2 * (weights * host_kernel_seconds + rows * weights * product_seconds);
  }
  return cost;
}

Cost cost_of(const std::vector<Job>& jobs, int threads) {
  Cost all;
  std::vector<double> bytes;
  double longest = 0;
  for (const Job& job : jobs) {
    const Cost own = cost_of(job);
    bytes.push_back(own.bytes);
    all.seconds += own.seconds;
    longest = std::max(longest, own.seconds);
  }
  all.seconds = std::max(longest, all.seconds / std::max(1, threads));
  const auto most = std::min<std::size_t>(bytes.size(), static_cast<std::size_t>(std::max(1, threads)));
  std::partial_sort(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(most), bytes.end(), std::greater<>());
  for (std::size_t i = 0; i < most; ++i) all.bytes += bytes[i];
  return all;
}

double available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return 0;
}

std::string why_not_affordable(const Cost& cost, double available_bytes, double most_seconds) {
  constexpr double gib = 1024.0 * 1024 * 1024;
  if (available_bytes > 0 && cost.bytes > available_bytes) {
    return fmt::format(
        "this run takes about {:.0f} GiB of memory, and {:.0f} GiB are free; take smaller shapes or fewer at a time "
        "(--jobs 1), or start it all the same with --no-limit",
        cost.bytes / gib, available_bytes / gib);
  }
  if (cost.seconds > most_seconds) {
    return fmt::format(
        "this run takes about {} here, and {} are the limit; ask for less (--op, --variant, --dtype, smaller shapes), "
        "allow more by --most-minutes, or start it all the same with --no-limit",
        duration(cost.seconds), duration(most_seconds));
  }
  return {};
}

}  // namespace normquant::validate
