#include "validate/space/covering.hpp"

#include <algorithm>
#include <random>
#include <set>

namespace normquant::validate::space {
namespace {

/// A level of a factor, by its number.
struct Chosen {
  std::size_t factor, level;
  auto operator<=>(const Chosen&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 sees a 0 here
};
using Together = std::vector<Chosen>;  ///< in the order of their factors

/// Every `strength` levels of different factors.
std::set<Together> all_together(const std::vector<Factor>& factors, int strength) {
  std::set<Together> all;
  Together chosen;
  const std::function<void(std::size_t)> add = [&](std::size_t first) {
    if (static_cast<int>(chosen.size()) == strength) {
      all.insert(chosen);
      return;
    }
    for (std::size_t f = first; f < factors.size(); ++f) {
      for (std::size_t l = 0; l < factors[f].levels.size(); ++l) {
        chosen.push_back({f, l});
        add(f + 1);
        chosen.pop_back();
      }
    }
  };
  add(0);
  return all;
}

class Generator {
 public:
  Generator(const Table& table, int strength, std::uint64_t seed)
      : table_(table), strength_(strength), random_(seed), left_(all_together(table.factors, strength)) {}

  std::vector<Problem> problems(std::uint64_t seed) {
    std::vector<Problem> all;
    while (!left_.empty()) {
      const Together first = *left_.begin();
      constexpr int candidates = 12, tries = 4;
      Problem best;
      std::vector<Together> covered;
      for (int i = 0; i < candidates && !(i >= tries && covered.empty()); ++i) {
        Problem drawn = draw(first);
        std::vector<Together> also = newly_covered(drawn);
        if (!std::binary_search(also.begin(), also.end(), first) || also.size() <= covered.size()) continue;
        best = std::move(drawn);
        covered = std::move(also);
      }
      left_.erase(first);  // covered, or these cannot go together
      if (covered.empty()) continue;
      for (const Together& one : covered) left_.erase(one);
      best.seed = seed;
      all.push_back(std::move(best));
    }
    return all;
  }

 private:
  /// A problem with these levels, the rest at random.
  Problem draw(const Together& fixed) {
    Problem problem = table_.plain;
    std::vector<std::size_t> levels(table_.factors.size());
    for (std::size_t f = 0; f < levels.size(); ++f) levels[f] = random_() % table_.factors[f].levels.size();
    for (const Chosen& one : fixed) levels[one.factor] = one.level;
    for (std::size_t f = 0; f < levels.size(); ++f) table_.factors[f].levels[levels[f]].apply(problem);
    table_.repair(problem);
    return problem;
  }

  /// What is left to cover and this problem has, in order.
  std::vector<Together> newly_covered(const Problem& problem) const {
    std::vector<Chosen> had;
    for (std::size_t f = 0; f < table_.factors.size(); ++f) {
      for (std::size_t l = 0; l < table_.factors[f].levels.size(); ++l) {
        if (has(problem, table_.factors[f].levels[l])) had.push_back({f, l});
      }
    }
    std::vector<Together> all;
    Together chosen;
    const std::function<void(std::size_t)> add = [&](std::size_t first) {
      if (static_cast<int>(chosen.size()) == strength_) {
        if (left_.contains(chosen)) all.push_back(chosen);
        return;
      }
      for (std::size_t i = first; i < had.size(); ++i) {
        if (!chosen.empty() && chosen.back().factor == had[i].factor) continue;
        chosen.push_back(had[i]);
        add(i + 1);
        chosen.pop_back();
      }
    };
    add(0);
    std::sort(all.begin(), all.end());
    return all;
  }

  const Table& table_;
  int strength_;
  std::mt19937_64 random_;
  std::set<Together> left_;
};

}  // namespace

bool has(const Problem& problem, const Level& level) {
  Problem changed = problem;
  level.apply(changed);
  return changed == problem;
}

std::vector<Problem> covering_problems(const Table& table, int strength, std::uint64_t seed) {
  return Generator(table, strength, seed).problems(seed);
}

}  // namespace normquant::validate::space
