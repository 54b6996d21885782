#include "choice/row_invariant.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "choice/installed_models.hpp"
#include "choice/installed_tables.hpp"

namespace normquant::choice {
namespace {

/// For every variant the place of the one whose bits its rows have: its own where it names none.
std::vector<std::size_t> heads_of(Operation op) {
  return with_operation(op, []<class Args>(std::type_identity<Args>) {
    std::vector<std::size_t> heads;
    if constexpr (!is_layer_arguments<Args>) {
      const std::vector<Variant<Args>>& all = variants<Args>(DeviceKind::host);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto named =
            std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.name == all[i].row_bits_of; });
        heads.push_back(named == all.end() ? i : static_cast<std::size_t>(named - all.begin()));
      }
    }
    return heads;
  });
}
const std::vector<std::size_t>& heads(Operation op) {
  static const auto all = [] {
    std::array<std::vector<std::size_t>, all_operations.size()> of;
    for (const Operation one : all_operations) of[static_cast<std::size_t>(one)] = heads_of(one);
    return of;
  }();
  return all[static_cast<std::size_t>(op)];
}

/// What each head loses, beside those whose rows have its bits, at every judged number of rows.
class Losses {
 public:
  explicit Losses(Operation op) : heads_(heads(op)) {}

  /// The variant at `place` loses that much at the present number of rows.
  void add(std::size_t place, double loss) {
    if (place >= heads_.size()) return;
    Known* known = of(heads_[place]);
    if (known != nullptr) known->now = std::min(known->now, loss);
  }
  /// Those that nothing was said of lose `unlisted`.
  void end_of_rows(double unlisted) {
    for (std::size_t i = 0; i < count_; ++i) {
      Known& known = known_[i];
      known.sum += weighed(std::min(known.now, unlisted));
      known.now = not_said;
    }
    before_ += weighed(unlisted);
  }
  InvariantOrder order() const {
    InvariantOrder order;
    std::array<double, InvariantOrder::most> scores{};
    for (std::size_t i = 0; i < count_; ++i) {
      const double score = known_[i].sum;
      std::size_t at = order.count++;
      for (; at > 0 && scores[at - 1] > score; --at) {
        order.places[at] = order.places[at - 1];
        scores[at] = scores[at - 1];
      }
      order.places[at] = static_cast<std::uint16_t>(known_[i].head);
      scores[at] = score;
    }
    return order;
  }

 private:
  static constexpr double not_said = 1e9;
  /// A loss of 20% at one M counts as one of 10% at nearly three.
  static double weighed(double loss) { return loss * std::sqrt(loss); }
  struct Known {
    std::size_t head = 0;
    double sum = 0, now = not_said;
  };
  /// Null where there are more than any operation has.
  Known* of(std::size_t head) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (known_[i].head == head) return &known_[i];
    }
    if (count_ == known_.size()) return nullptr;
    known_[count_] = {head, before_, not_said};
    return &known_[count_++];
  }
  const std::vector<std::size_t>& heads_;
  std::array<Known, InvariantOrder::most> known_{};
  std::size_t count_ = 0;
  double before_ = 0;  ///< what was lost by those that nothing has been said of yet
};

/// What does not serve some number of rows loses this there: more than anything that serves.
constexpr double not_served = 1000;

void judge_by_model(const CostModel& model, const Point& point, Losses& losses) {
  const CostRanking ranking = rank(model, point);
  for (std::size_t i = 0; i < ranking.count; ++i) {
    losses.add(ranking.places[i], std::expm1(static_cast<double>(ranking.costs[i] - ranking.costs[0])));
  }
  losses.end_of_rows(not_served);
}

/// A variant that the nearest cells do not list loses as much as the last that they do, and 5% more.
void judge_by_table(const InstalledTable& installed, const Point& point, Losses& losses) {
  const Ranking ranking = installed.index.rank(point);
  const std::vector<std::size_t>& places = installed.places[static_cast<std::size_t>(point.op)];
  double last = 0;
  for (std::size_t i = 0; i < ranking.count; ++i) {
    last = static_cast<double>(ranking.costs[i] / ranking.costs[0]) - 1;
    losses.add(places[ranking.variants[i]], last);
  }
  losses.end_of_rows(last + 0.05);
}

InvariantOrder order_for(Point point, const DeviceInfo& device) {
  const InstalledTable* table = table_for(device, point);
  const bool set = table != nullptr && table->origin == TableOrigin::set;
  const CostModel* model = set ? nullptr : model_for(device);
  if (model != nullptr && rank(*model, point).count == 0) model = nullptr;  // it was not fitted to such problems
  Losses losses(point.op);
  for (const std::int64_t rows : judged_rows) {
    point.rows = rows;
    if (model != nullptr) judge_by_model(*model, point, losses);
    if (model == nullptr && table != nullptr) judge_by_table(*table, point, losses);
  }
  return losses.order();
}

/// What an order was made from.
struct Asked {
  Point point;
  std::string device;
  int compute_capability = 0, sm_count = 0;
  const InstalledTable* newest = nullptr;
};

struct Remembered {
  Asked asked;
  InvariantOrder order;
};

std::size_t slot_of(const Point& point, std::size_t slots) {
  std::uint64_t hash = static_cast<std::uint64_t>(point.columns);
  for (const std::uint64_t part : {static_cast<std::uint64_t>(point.op), static_cast<std::uint64_t>(point.type),
                                   static_cast<std::uint64_t>(point.form), std::uint64_t{point.aligned ? 1U : 0U}}) {
    hash = hash * 31 + part;
  }
  return static_cast<std::size_t>(hash * 0x9E3779B97F4A7C15ULL >> 32U) % slots;
}

}  // namespace

const InvariantOrder& invariant_order(const Point& point, const DeviceInfo& device) {
  constexpr std::size_t slots = 64;
  thread_local std::array<Remembered, slots> remembered;
  Remembered& slot = remembered[slot_of(point, slots)];
  Point of_one_row = point;
  of_one_row.rows = 1;
  const InstalledTable* newest = newest_table();
  const Asked& known = slot.asked;
  if (known.point != of_one_row || known.newest != newest || known.sm_count != device.sm_count ||
      known.compute_capability != device.compute_capability || known.device != device.name) {
    slot = {{of_one_row, device.name, device.compute_capability, device.sm_count, newest},
            order_for(of_one_row, device)};
  }
  return slot.order;
}

}  // namespace normquant::choice
