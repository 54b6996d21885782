// The table at the end of a sweep: for every case the best variant, and how `auto` does against it.
#pragma once

#include <string>
#include <vector>

#include "bench/timing_record.hpp"

namespace normquant::bench {

/// One line a case, in order of first appearance; the fastest of repeated runs counts. Empty when nothing was timed.
/// Times of the host device are headed as CPU execution, without rates and shares.
std::string summary_table(const std::vector<TimingRecord>& records);

/// How the records of a sweep ended.
struct Tally {
  int pass = 0, skipped = 0, wrong = 0, error = 0;
};
void add(Tally& counts, const Tally& more);
Tally tally(const std::vector<TimingRecord>& records);

/// `12 timed, 3 skipped (the variant does not serve the case)`; wrong and error only when there are any.
std::string tally_text(const Tally& counts);

/// Why variants did not serve cases, by reason; empty when they served all.
std::string skipped_text(const std::vector<TimingRecord>& records);

/// The exit status a sweep ends with: wrong results before errors before "nothing was timed".
int exit_status_of(const Tally& counts);

}  // namespace normquant::bench
