// `normquant tune --shapes FILE`: a user's own shapes.
#pragma once

#include <string>

#include "bench/tune/time_sweep.hpp"

namespace normquant::tune {

struct ShapesRequest {
  std::string file, device;
  std::string out;  ///< the table; empty: the user's, which choose_variant reads
  bool require_gpu = false;
  KeptRecords records;
};

/// Times the variants that may be the fastest at these shapes and keeps the best in a table. The exit status; throws a Refusal.
int tune_shapes(const ShapesRequest& request);

}  // namespace normquant::tune
