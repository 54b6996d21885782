#include "bench/scrutiny.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "validate/repetition.hpp"

namespace normquant::bench {
namespace {

std::uint64_t from_the_system() {
  std::random_device entropy;
  return (static_cast<std::uint64_t>(entropy()) << 32U) | entropy();
}

}  // namespace

Scrutiny::Scrutiny(Device& device, const Slots& slots, validate::VariantHandle variant)
    : device_(device), slots_(slots), variant_(variant), seed_(from_the_system()), random_(seed_) {
  for (const auto& slot : slots_) {
    const bool known =
        std::any_of(sets_.begin(), sets_.end(), [&](const auto* set) { return set->problem() == slot->problem(); });
    if (!known) sets_.push_back(slot.get());
    holds_.push_back(slot.get());
  }
  turns_.assign(slots_.size(), 0);
  writer_.assign(slots_.size(), -1);
}

std::unique_ptr<validate::PreparedProblem> Scrutiny::other_values(std::string& why) const {
  validate::Problem problem = slots_.front()->problem();
  problem.seed = from_the_system() >> 16U;
  auto other = validate::prepare(problem, device_, validate::distinct_rows(problem), why);
  if (other == nullptr) return nullptr;
  if (Status status = other->reserve(variant_); !status.ok()) {
    why = status.message;
    return nullptr;
  }
  return other;
}

Status Scrutiny::open() {
  if (!on_host() && slots_.size() < 2) {
    return Status::infrastructure(
        "memory holds the buffers once only, and a plugin is timed over two copies of them at least");
  }
  std::string why;
  auto other = other_values(why);
  if (other == nullptr && sets_.size() < 2) return Status::infrastructure("other values for the plugin: " + why);
  if (other == nullptr) return {};
  sets_.push_back(other.get());
  others_.push_back(std::move(other));
  return {};
}

Enqueue Scrutiny::enqueue() {
  return [this](int slot, Stream stream) {
    if (!launched_since_) begin();  // a timer that launches one by one: what was written before is poisoned
    launched_since_ = true;
    const auto from = static_cast<std::size_t>(slot);
    const std::size_t into = turns_[from]++ % 2 == 0 ? from : (from + 1) % slots_.size();
    writer_[into] = slot;
    return slots_[from]->launch_into(*slots_[into], variant_, stream);
  };
}

void Scrutiny::begin() { std::fill(writer_.begin(), writer_.end(), -1); }

/// On the host a set that was used is replaced by a new one, but for the layer's, whose references take seconds.
Status Scrutiny::deal() {
  if (on_host() && !is_layer(slots_.front()->problem().op)) {
    std::string why;
    auto other = other_values(why);
    if (other == nullptr) return Status::infrastructure("other values for the plugin: " + why);
    holds_[0] = other.get();
    sets_.back() = other.get();
    others_.back() = std::move(other);
    return slots_[0]->take_values(*holds_[0]);
  }
  // Neighbours differ, also the last slot and the first, unless there are two sets and an odd number of slots.
  std::size_t sets = sets_.size();
  if (sets > 2 && slots_.size() % sets == 1) --sets;
  offset_ += 1 + random_() % (sets - 1);
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    holds_[slot] = sets_[(slot + offset_) % sets];
    if (Status status = slots_[slot]->take_values(*holds_[slot]); !status.ok()) return status;
  }
  return {};
}

Status Scrutiny::poison() {
  launched_since_ = false;
  for (const auto& slot : slots_) {
    if (Status status = slot->poison_outputs(); !status.ok()) return status;
  }
  return device_.synchronize();
}

Status Scrutiny::before_batch() {
  if (on_host() || offset_ == 0 || one_in(4)) {
    if (Status status = deal(); !status.ok()) return status;
  }
  return poison();
}

int Scrutiny::batch_size(int usual) {
  if (on_host()) return usual;
  return 1 + static_cast<int>(random_() % static_cast<std::uint64_t>(2 * usual - 1));
}

Status Scrutiny::after_batch() {
  if (on_host()) {
    if (const std::string where = slots_.front()->unwritten_element(random_()); !where.empty()) {
      validate::Verdict late;
      late.outcome = validate::Outcome::wrong;
      late.reason = where + " was not written yet when the launch returned";
      finding_ = std::move(late);
      return Status::infrastructure(finding_->reason);
    }
    return check_slot(0);
  }
  if (!one_in(4)) return {};
  std::vector<std::size_t> written;
  for (std::size_t slot = 0; slot < writer_.size(); ++slot) {
    if (writer_[slot] >= 0) written.push_back(slot);
  }
  return written.empty() ? Status{} : check_slot(written[random_() % written.size()]);
}

Status Scrutiny::check_slot(std::size_t slot) {
  const auto writer = static_cast<std::size_t>(writer_[slot]);
  validate::Verdict verdict = slots_[slot]->check_against(*holds_[slot], *holds_[writer]);
  if (verdict.outcome == validate::Outcome::pass) return {};
  finding_ = std::move(verdict);
  return Status::infrastructure(finding_->reason);
}

Status Scrutiny::check_all(Timer& timer) {
  if (Status status = deal(); !status.ok()) return status;
  if (Status status = poison(); !status.ok()) return status;
  if (Status status = timer.run_once(); !status.ok()) return status;
  const std::uint64_t drawn = random_();
  std::vector<unsigned char> at_once, later;  // of a few elements, when the stream was done and after all else
  if (Status status = read_elements(drawn, at_once); !status.ok()) return status;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (writer_[slot] < 0) continue;
    if (Status status = check_slot(slot); !status.ok()) return status;
  }
  if (Status status = read_elements(drawn, later); !status.ok()) return status;
  if (later == at_once) return {};
  validate::Verdict late;
  late.outcome = validate::Outcome::wrong;
  late.reason = "outputs changed after the stream that writes them was done: a launch put work elsewhere";
  finding_ = std::move(late);
  return Status::infrastructure(finding_->reason);
}

/// One element each of slots drawn with `seed`: few, since what is still at work goes on while they are read.
Status Scrutiny::read_elements(std::uint64_t seed, std::vector<unsigned char>& bytes) const {
  constexpr int reads = 16;  // each some 10 us
  std::mt19937_64 random(seed);
  for (int i = 0; i < reads; ++i) {
    const std::size_t slot = random() % slots_.size();
    if (writer_[slot] < 0) continue;
    if (Status status = slots_[slot]->read_element(random(), bytes); !status.ok()) return status;
  }
  return {};
}

Status Scrutiny::compare_with_new_values(Timer& timer, double seen_us) {
  constexpr double start_us = 30;  // of a graph that nothing hides
  constexpr int attempts = 3;
  if (on_host()) return {};
  begin();
  const auto slots = static_cast<int>(slots_.size());
  if (Status status = timer.prepare(enqueue(), {slots, {}, true, 1}); !status.ok()) return status;
  double new_us = std::numeric_limits<double>::infinity();
  for (int i = 0; i < attempts; ++i) {
    for (const auto& slot : slots_) {
      if (Status status = slot->disturb_values(random_()); !status.ok()) return status;
    }
    if (Status status = device_.synchronize(); !status.ok()) return status;
    double once_us = 0;
    if (Status status = timer.measure_once(once_us); !status.ok()) return status;
    new_us = std::min(new_us, once_us - start_us / slots);
  }
  if (new_us <= 2 * seen_us) return {};
  validate::Verdict kept;
  kept.outcome = validate::Outcome::error;
  kept.reason =
      fmt::format("a launch took {:.4g} us on values that it had seen, and {:.4g} us on new ones: it keeps results",
                  seen_us, new_us);
  finding_ = std::move(kept);
  return Status::infrastructure(finding_->reason);
}

}  // namespace normquant::bench
