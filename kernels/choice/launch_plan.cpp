#include "choice/launch_plan.hpp"

#include <algorithm>
#include <numeric>

namespace normquant::choice {
namespace {

using Kind = PlanTuning::Kind;

constexpr int warp = 32, most_side_by_side = 15, most_single_rows = 256;
constexpr std::int64_t most_shared_bytes = std::int64_t{227} * 1024;

constexpr std::int64_t up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool is_layer_norm(const Point& point) { return (point.form & form_layer) != 0; }

/// As forward_one_pass_launch::sums_squares_with_h: a row of several warps may wait once more, and has a block.
bool may_wait_once_more(const PlanTuning& t, const Point& point) {
  constexpr auto of_its_own = form_residual | form_codes;
  return is_layer_norm(point) && (point.form & of_its_own) == 0 && !t.any_alignment && t.elements <= 16;
}

int resident(const PlanDevice& device, int cluster) {
  switch (cluster) {
    case 2: return device.resident_clusters[0];
    case 4: return device.resident_clusters[1];
    case 8: return device.resident_clusters[2];
    case 16: return device.resident_clusters[3];
    default: return device.sm_count;
  }
}

void plan_forward(const PlanTuning& t, const PlanLimits& limits, const PlanDevice& device, const Point& point,
                  LaunchPlan& plan) {
  const int least = t.lanes < warp ? warp / t.lanes : 1;
  if (t.cluster == 1 && !(plan.threads > warp && may_wait_once_more(t, point))) {
    plan.rows = plan.threads >= 128 ? 1 : 128 / plan.threads;
    while (plan.rows / 2 >= least && up(point.rows, plan.rows) < device.sm_count) plan.rows /= 2;
    plan.rows = std::max(plan.rows, least);
  }
  plan.blocks = t.cluster * up(point.rows, plan.rows);
  const std::int64_t warps = up(std::int64_t{plan.threads} * plan.rows, warp);
  const std::int64_t a_place = std::clamp<std::int64_t>(limits.warps / warps, 1, 32);
  plan.at_a_time = a_place * resident(device, t.cluster) * t.cluster;
}

/// Shared memory of rows under way, as staged.cu and striped.cu count it.
std::int64_t shared_bytes(const PlanTuning& t, const Point& point, int threads, std::int64_t rows) {
  const bool vectors = is_layer_norm(point);
  const std::int64_t tensors = (point.form & form_dresidual) != 0 ? 3 : 2,
                     sums = std::int64_t{4} * threads * rows * t.elements;
  std::int64_t walk = 0;
  if (t.kind == Kind::striped) {
    const std::int64_t row = (point.columns * 2 + 31) / 16 * 16;
    walk = rows * 2 * tensors * row + (vectors ? 2 * row : 0);
  } else {
    walk = (2 * tensors + (vectors ? 2 : 0)) * threads * rows * t.elements * 2;
  }
  return std::max(walk, sums);
}

bool plan_walk(const PlanTuning& t, const PlanLimits& limits, const PlanDevice& device, const Point& point,
               LaunchPlan& plan) {
  const std::int64_t least = t.lanes < warp ? warp / t.lanes : 1, places = resident(device, t.cluster);
  if (shared_bytes(t, point, plan.threads, least) > most_shared_bytes || places < 1) return false;
  std::int64_t most = t.cluster > 1 ? 1 : limits.most_threads / plan.threads;
  if (plan.threads > warp || t.kind == Kind::striped) most = std::min<std::int64_t>(most, most_side_by_side);
  most = std::min(most, up(point.rows, places));
  std::int64_t rows = std::max(least, most / least * least);
  while (rows > least && shared_bytes(t, point, plan.threads, rows) > most_shared_bytes) rows -= least;
  std::int64_t sets = std::min(places, up(point.rows, rows));
  const bool shifted = t.any_alignment && t.kind == Kind::staged;
  const std::int64_t alike = shifted ? 8 / std::gcd<std::int64_t>(point.columns, 8) : 1;
  sets = std::max(alike, sets / alike * alike);
  plan.rows = static_cast<int>(rows);
  plan.blocks = sets * t.cluster;
  plan.at_a_time = places * t.cluster;
  plan.walk = up(point.rows, sets * rows);
  plan.unbalanced = static_cast<float>(plan.walk * sets * rows) / static_cast<float>(point.rows);
  return true;
}

}  // namespace

PlanTuning plan_tuning(Operation op, std::string_view name, const Tuning& tuning) {
  PlanTuning t;
  t.elements = tuning.elements;
  t.lanes = tuning.lanes;
  t.cluster = tuning.cluster;
  t.any_alignment = tuning.access_bytes < 16;
  if (tuning.elements <= 0 || tuning.lanes <= 0 || tuning.threads_per_row > 0) return t;
  if (op == Operation::norm_quant_forward) t.kind = Kind::forward;
  if (op != Operation::norm_quant_backward) return t;
  if (name.starts_with("single")) t.kind = Kind::single;
  if (name.starts_with("staged")) t.kind = Kind::staged;
  if (name.starts_with("striped")) t.kind = Kind::striped;
  return t;
}

std::optional<LaunchPlan> plan_of(const PlanTuning& t, const PlanLimits& limits, const PlanDevice& device,
                                  const Point& point) {
  if (t.kind == Kind::none || limits.most_threads == 0 || (!point.aligned && !t.any_alignment)) return std::nullopt;
  const bool forward = t.kind == Kind::forward;
  // Shifted packets may begin before the row.
  const std::int64_t columns = point.columns + (t.kind == Kind::staged && t.any_alignment ? 7 : 0);
  const std::int64_t threads = up(up(columns, std::int64_t{t.lanes} * t.elements), t.cluster) * t.lanes;
  if (threads > (t.lanes < warp ? t.lanes : limits.most_threads)) return std::nullopt;
  if (point.columns <= (t.cluster - 1) * threads * t.elements) return std::nullopt;
  LaunchPlan plan;
  plan.threads = static_cast<int>(threads);
  plan.idle = static_cast<float>(t.cluster * threads * t.elements) / static_cast<float>(point.columns);
  if (forward) {
    plan_forward(t, limits, device, point, plan);
  } else if (t.kind == Kind::single) {
    if (point.rows > most_single_rows) return std::nullopt;
    plan.blocks = point.rows;
    plan.at_a_time = std::max<std::int64_t>(1, limits.most_threads / threads) * device.sm_count;
  } else if (!plan_walk(t, limits, device, point, plan)) {
    return std::nullopt;
  }
  return plan;
}

}  // namespace normquant::choice
