// Samples of a timer as tests invent them.
#pragma once

#include <numeric>
#include <random>
#include <vector>

namespace normquant::bench {

inline std::vector<double> one_to(int n) {
  std::vector<double> samples(static_cast<std::size_t>(n));
  std::iota(samples.begin(), samples.end(), 1.0);
  return samples;
}

/// `n` samples of a normal distribution with that mean and relative deviation.
inline std::vector<double> normal_samples(int n, double mean, double deviation, unsigned seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(mean, mean * deviation);
  std::vector<double> samples(static_cast<std::size_t>(n));
  for (double& sample : samples) sample = normal(generator);
  return samples;
}

}  // namespace normquant::bench
