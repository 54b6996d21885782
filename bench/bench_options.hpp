// What the command line of `normquant bench` says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/plan.hpp"
#include "bench/session.hpp"
#include "kernels/plugin/worker.hpp"
#include "output/output_file.hpp"

namespace normquant::bench {

struct BenchOptions {
  PlanRequest request;
  std::string device;  ///< empty: cuda when usable, else host
  std::string out;
  std::string table;           ///< file of a tuned table for `auto`
  std::string shard;           ///< I/N; empty: everything
  std::string limit = "copy";  ///< or "streams": that too
  double case_timeout = 0;     ///< seconds; 0: none
  double plugin_timeout = plugins::default_seconds;
  std::vector<double> extra_work;
  double sustained_seconds = 0;  ///< 0: no sustained figure
  bool quick = false;
  bool lean = false;
  bool no_cold = false;
  bool hot = false;
  bool resume = false;
  bool profiled = false;
  bool self_test = false;
  bool require_gpu = false;
  bool list = false;
  output::Existing existing = output::Existing::refuse;
  std::vector<std::string> plugins;
  std::vector<std::string> benchmark_flags;

  Figures figures() const {
    const bool least = lean || profiled;
    return {!no_cold && !least, hot && !profiled, !least, !least, profiled, limit == "streams" && !least};
  }
};

}  // namespace normquant::bench
