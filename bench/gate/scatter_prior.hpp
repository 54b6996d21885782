// How much pairs of a case will scatter, before the case itself has said so: what other cases of like length, now and in earlier
// runs of this machine, have shown.
//
// Empirical Bayes after Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray
// experiments", Stat. Appl. Genet. Mol. Biol. 3 (2004), section 6.2: the variances of cases scatter around a common one as a
// scaled inverse chi-square does, whose mean and degrees of freedom follow from the mean and the variance of the logarithms of
// the sample variances. Cases that agree give many degrees, cases that do not give few.
#pragma once

#include <string>
#include <vector>

#include "bench/gate/paired.hpp"

namespace normquant::gate {

/// The scatter of the pairs of one case in one run.
struct ObservedScatter {
  double microseconds = 0;  ///< of a launch of the baseline
  PairScatter scatter;
};

class ScatterPrior {
 public:
  /// Those without degrees of freedom or a time are left out. Variances below least_scatter^2 count as that.
  explicit ScatterPrior(const std::vector<ObservedScatter>& observed);

  /// For a case that takes so long: cases three times as long or as short count 60%, ten times 11%. Never more degrees of
  /// freedom than the observations that count have together; 0 where there is nothing to go by.
  PairScatter at(double microseconds) const;

 private:
  struct Point {
    double log_time, level, noise, degrees;  ///< level: the unbiased logarithm of the variance; noise: its own variance
  };
  std::vector<Point> points_;
};

/// A file of one line an observation, written by earlier runs of this machine; the newest at the end. What is no observation is
/// passed over: the file speeds decisions up and decides none. A file that is not there is empty.
std::vector<ObservedScatter> read_scatter_history(const std::string& path);
/// Adds to it, and keeps the newest `most`. Answers why it could not, as a sentence; empty when it did.
std::string add_to_scatter_history(const std::string& path, const std::vector<ObservedScatter>& observed,
                                   std::size_t most = 4000);

}  // namespace normquant::gate
