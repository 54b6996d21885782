// Checking a plugin's variants in processes of their own: whatever becomes of one, the run goes on.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kernels/plugin/heap_walk.hpp"
#include "kernels/plugin/worker.hpp"
#include "validate/run.hpp"

namespace normquant::validate {

/// How often a variant may run out of time before its other cases are no longer tried.
inline constexpr int most_time_outs = 3;

/// What the threads of a run know together about the variants of plugins.
class TimeOuts {
 public:
  void note(const std::string& variant);
  bool too_many(const std::string& variant);

 private:
  std::mutex mutex_;
  std::map<std::string, int> counts_;
};

/// One thread's: the process of the variant that it checked last. A process serves one variant on one device.
class PluginChecks {
 public:
  PluginChecks(double seconds, bool warm, TimeOuts& time_outs)
      : seconds_(seconds), warm_(warm), time_outs_(time_outs) {}

  /// The verdict of one variant of the job. A process that crashes, ends itself or takes longer than `seconds` over the case is
  /// an error with a sentence, and the next case gets a new one.
  Verdict check(const Job& job, const std::string& variant);

 private:
  bool start(const Job& job, const std::string& variant, std::string& why);

  double seconds_;
  bool warm_;
  TimeOuts& time_outs_;
  std::unique_ptr<plugins::Worker> worker_;
  std::string serves_;
};

/// The process's side: loads the plugin and answers requests until there are no more. The exit status.
int serve_plugin_checks(plugins::Requests& requests, const std::string& plugin);

/// Ends the process when a plugin has broken its heap, so that the error is that of the case that did it.
void look_at_the_heap(const plugins::HeapWalk& heap);

}  // namespace normquant::validate
