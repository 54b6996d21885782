#include "validate/oracle/welford.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::oracle {
namespace {

/// Of some elements of a row.
struct Part {
  float count = 0, mean = 0, squares = 0;  ///< squares: sum of (h - mean)^2
};

void update(Part& part, float value, const Style& style) {
  part.count += 1;
  const float delta = value - part.mean;
  const float step = divide(delta, part.count, style.division);
  part.mean += step;
  const float rest = value - part.mean;
  part.squares = style.fused ? std::fmaf(delta, rest, part.squares) : part.squares + delta * rest;
}

/// The mean moves by its share of the difference, as on PyTorch's CPU.
Part merged_by_step(const Part& a, const Part& b, const Style& style) {
  if (b.count == 0) return a;
  Part both{a.count + b.count, 0, 0};
  const float share = divide(b.count, both.count, style.division), delta = b.mean - a.mean;
  both.mean = style.fused ? std::fmaf(share, delta, a.mean) : a.mean + share * delta;
  both.squares = a.squares + (b.squares + delta * delta * share * a.count);
  return both;
}

/// Both means by their weights, as apex and PyTorch's GPU kernels do.
Part merged_by_weights(const Part& a, const Part& b, const Style& style) {
  if (a.count == 0) return b;  // merging with nothing changes nothing
  if (b.count == 0) return a;
  Part both{a.count + b.count, 0, 0};
  const float inverse = divide(1.0F, both.count, style.division);
  const float share_a = a.count * inverse, share_b = b.count * inverse, delta = b.mean - a.mean;
  both.mean = style.fused ? std::fmaf(share_a, a.mean, share_b * b.mean) : share_a * a.mean + share_b * b.mean;
  both.squares = a.squares + b.squares + delta * delta * a.count * share_b;
  return both;
}

Part chain(const FloatVector& h, const Style& style) {
  Part all;
  for (const float value : h) update(all, value, style);
  return all;
}

/// Eight lanes; each takes chunks of 16, merges them in a cascade; then the lanes one by one, after what is left of the row.
Part lanes(const FloatVector& h, const Style& style) {
  constexpr Eigen::Index width = 8, chunk = 16;
  const Eigen::Index steps = h.size() / width;
  Part all;
  for (Eigen::Index i = steps * width; i < h.size(); ++i) update(all, h(i), style);
  for (Eigen::Index lane = 0; lane < width && steps > 0; ++lane) {
    std::vector<Part> waiting;  // of 1, 2, 4, ... chunks
    for (Eigen::Index first = 0, chunks = 1; first < steps; first += chunk, ++chunks) {
      Part part;
      for (Eigen::Index i = first; i < std::min(first + chunk, steps); ++i) update(part, h(i * width + lane), style);
      std::size_t level = 0;
      for (; (chunks >> level & 1) == 0; ++level) {
        part = merged_by_step(waiting[level], part, style);
        waiting[level] = {};
      }
      waiting.resize(std::max(waiting.size(), level + 1));
      waiting[level] = part;
    }
    Part own = waiting.front();
    for (std::size_t level = 1; level < waiting.size(); ++level) {
      own = own.count == 0 ? waiting[level] : merged_by_step(own, waiting[level], style);
    }
    all = all.count == 0 ? own : merged_by_step(all, own, style);
  }
  return all;
}

/// 128 threads take four neighbours in turn; then a tree.
Part threads(const FloatVector& h, const Style& style) {
  constexpr Eigen::Index count = 128, neighbours = 4;
  std::vector<Part> parts(count);
  for (Eigen::Index i = 0; i < h.size(); ++i) {
    update(parts[static_cast<std::size_t>(i / neighbours % count)], h(i), style);
  }
  for (std::size_t half = parts.size() / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) parts[i] = merged_by_weights(parts[i], parts[i + half], style);
  }
  return parts.front();
}

}  // namespace

MeanAndVariance welford_moments(const FloatVector& h, const Style& style) {
  const Part all = style.moments == Moments::welford_lanes     ? lanes(h, style)
                   : style.moments == Moments::welford_threads ? threads(h, style)
                                                               : chain(h, style);
  return {all.mean, divide(all.squares, static_cast<float>(h.size()), style.division)};
}

}  // namespace normquant::oracle
