// Timing the kernels of strangers: what is timed is what is checked, so that no time is taken of a launch that did not do the
// work. docs/measurement.md says what is found by which part.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>
#include <normquant/device.hpp>

#include "bench/timer.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::bench {

/// The buffers of one case on one variant. On a GPU a launch reads the inputs of one copy of the buffers and writes, turn by
/// turn, into its own outputs and into those of the next copy, so that no output ever holds what the launch has to write;
/// between batches the copies exchange their values. On the host, where a batch is one launch, every launch gets values that
/// it has never seen and poisoned outputs, and is checked.
class Scrutiny {
 public:
  using Slots = std::vector<std::unique_ptr<validate::PreparedProblem>>;

  /// `slots` outlive this object and have their workspace for the variant; the host has one, a GPU at least two.
  Scrutiny(Device& device, const Slots& slots, validate::VariantHandle variant);

  /// Prepares one more set of values, with a seed of the operating system's: nothing is timed on values known before.
  Status open();
  /// What a timer launches. Call begin() before it is handed to Timer::prepare.
  Enqueue enqueue();
  void begin();
  /// Poisons all outputs, and, always on the host, now and then on a GPU, changes all inputs.
  Status before_batch();
  /// Looks at what the last launches wrote: always on the host, now and then on a GPU. A failure is in finding().
  Status after_batch();
  /// On a GPU a random number around the usual one: which launches are looked at cannot be known by counting.
  int batch_size(int usual);
  /// Changes the inputs, poisons the outputs, lets `run` launch, and looks at all that it wrote. Elements that
  /// change between the end of the timed stream and the last look are a failure too.
  Status check_all(Timer& timer);

  /// On a GPU: times one round over values never seen before, and compares with the time of those seen again and again. Twice as
  /// long means that results were kept. Nothing can be checked after it.
  Status compare_with_new_values(Timer& timer, double seen_us);

  /// Seed of what is drawn at random.
  std::uint64_t seed() const { return seed_; }
  /// The verdict that is not a pass, when there was one.
  const std::optional<validate::Verdict>& finding() const { return finding_; }

 private:
  bool on_host() const { return device_.info().kind == DeviceKind::host; }
  std::unique_ptr<validate::PreparedProblem> other_values(std::string& why) const;
  Status deal();
  Status poison();
  Status check_slot(std::size_t slot);
  Status read_elements(std::uint64_t seed, std::vector<unsigned char>& bytes) const;
  bool one_in(int count) { return random_() % static_cast<std::uint64_t>(count) == 0; }

  Device& device_;
  const Slots& slots_;
  validate::VariantHandle variant_;
  std::uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<validate::PreparedProblem>> others_;  ///< values beside those of the slots
  std::vector<const validate::PreparedProblem*> sets_;              ///< different values, by who was prepared with them
  std::vector<const validate::PreparedProblem*> holds_;             ///< by slot: whose values its inputs hold
  std::vector<int> turns_;                                          ///< by slot: launches that read its inputs
  std::vector<int> writer_;     ///< by slot: whose inputs were last launched into its outputs; -1: none since begin()
  bool launched_since_ = true;  ///< enqueue() was called since the outputs were poisoned; a graph does not call it
  std::size_t offset_ = 0;      ///< slot i holds set (i + offset) of those that are dealt
  std::optional<validate::Verdict> finding_;
};

}  // namespace normquant::bench
