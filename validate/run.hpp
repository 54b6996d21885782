// Runs cases on devices, in parallel, and collects what was found.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "validate/devices.hpp"
#include "validate/suite.hpp"
#include "validate/verdict.hpp"

namespace normquant::validate {

/// One case on one variant of one device.
struct CaseResult {
  std::string device;
  std::string variant;
  Problem problem;
  Verdict verdict;
  std::string command = {};         ///< that gives this result again, where it is not `normquant validate --case`
  std::uint64_t schedule_seed = 1;  ///< of the host device
  double seconds = 0;               ///< of this variant alone: launches, checks
  std::string card = {};            ///< which of several devices it was: a GPU's UUID, or as host:1
  std::string ran_on = {};          ///< the --device that means it alone, where `device` is a list
  std::int64_t index = -1;          ///< place in the plan of all shards, from 0; -1: not of a plan
};

/// The command that gives this one result again, with everything that it depends on.
std::string reproducing_command(const CaseResult& result);

/// A case and the variants to run it on.
struct Job {
  DeviceChoice device;
  Case subject;
  std::vector<std::string> variants;
  std::uint64_t schedule_seed = 1;  ///< orders the threads of the host device
  std::int64_t index = 0;           ///< place of the first variant in the plan of all shards, from 0
  std::vector<std::string> compare_rows =
      {};  ///< variants whose rows are compared with the same rows of other problems
};

struct RunOptions {
  int threads = 1;
  /// Called after every part of a job, by one thread at a time, with the job's place in the list and how many results there are
  /// now; false: nothing further begins.
  std::function<bool(std::size_t job, const std::vector<CaseResult>& results, std::size_t done)> finished;
  bool warm = false;           ///< no cold start before a second run (cold_start.hpp)
  double plugin_seconds = 60;  ///< that a plugin's variant may take over one case
  /// These share the jobs, each in processes of its own (device_checks.hpp), whatever device the jobs name. Empty: the jobs'.
  std::vector<ListedDevice> cards = {};
};

/// Runs every job on every variant: outputs and scratch poisoned, launched, checked; variants that promise the same bits
/// run twice, the second time on a GPU with cold caches and poisoned shared memory; what a device that watches its kernels
/// found goes before wrong results. A plugin's variants run in processes of their own (plugin_checks.hpp). Long jobs begin
/// first. What finds no memory beside others runs again alone. The results come in the order of the jobs, whatever the
/// number of threads; what did not begin has none.
std::vector<CaseResult> run_jobs(const std::vector<Job>& jobs, const RunOptions& options);

}  // namespace normquant::validate
