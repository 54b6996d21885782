#include "bench/self_test.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/statistics.hpp"

namespace normquant::bench {
namespace {

double median(std::span<const double> samples) { return summarise(samples).median; }

double share_above(std::span<const double> samples, double limit) {
  const auto above = std::count_if(samples.begin(), samples.end(), [limit](double sample) { return sample > limit; });
  return samples.empty() ? 0 : static_cast<double>(above) / static_cast<double>(samples.size());
}

}  // namespace

ColdProof judge_latencies(const LoadLatencies& latencies) {
  ColdProof proof;
  proof.hot_cycles = median(latencies.hot);
  proof.flushed_cycles = median(latencies.flushed);
  proof.rotated_cycles = median(latencies.rotated);
  const double limit = (proof.hot_cycles + proof.flushed_cycles) / 2;
  proof.flushed_share = share_above(latencies.flushed, limit);
  proof.rotated_share = share_above(latencies.rotated, limit);
  if (!(proof.flushed_cycles >= 1.3 * proof.hot_cycles)) {
    proof.failure =
        fmt::format("a load after the flush takes {:.0f} cycles and a hot one {:.0f}: the flush did nothing",
                    proof.flushed_cycles, proof.hot_cycles);
  } else if (!(proof.flushed_share >= 0.95)) {
    proof.failure = fmt::format("only {:.1f}% of the loads miss the L2 after a flush", proof.flushed_share * 100);
  } else if (!(proof.rotated_share >= 0.95)) {
    proof.failure = fmt::format("only {:.1f}% of the loads miss the L2 after a rotation", proof.rotated_share * 100);
  }
  return proof;
}

std::string self_test_text(const SelfTest& test) {
  const auto verdict = [](bool passed) { return passed ? "passed" : "FAILED"; };
  const ColdProof& cold = test.cold;
  const TimerProof& timer = test.timer;
  std::string text = fmt::format(
      "cold is cold        {}  one load: hot {:.0f} cycles, after a flush {:.0f} ({:.1f}% miss the L2), after a "
      "rotation "
      "{:.0f} ({:.1f}%)\n",
      verdict(cold.failure.empty()), cold.hot_cycles, cold.flushed_cycles, cold.flushed_share * 100,
      cold.rotated_cycles, cold.rotated_share * 100);
  if (!cold.failure.empty()) text += "                            " + cold.failure + "\n";
  text += fmt::format("hidden work found   {}  {}\n", verdict(timer.hidden_work_found),
                      timer.hidden_work_found ? timer.hidden_work_sentence : "3 ms on another stream went unnoticed");
  text += fmt::format("hold gives up       {}  a stream held for a host that never says go ends after 10 ms\n",
                      verdict(timer.hold_timed_out));
  text += fmt::format(
      "what events cost     {:.2f} us between two events, which are taken off every cold sample; {:.2f} us around an "
      "empty kernel\n",
      timer.costs.nothing_us, timer.costs.empty_us);
  return text;
}

}  // namespace normquant::bench
