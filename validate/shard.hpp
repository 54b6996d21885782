// One of the parts that a plan is cut into so that several machines or calls share it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace normquant::validate {

inline constexpr int most_shards = 100000;

struct Shard {
  int number = 1;  ///< from 1 to `of`
  int of = 1;
  /// Whether the case with this place in the plan, from 0, is of this part.
  bool holds(long long place) const { return place % of == number - 1; }
};

/// `I/N` with 1 <= I <= N <= most_shards; nothing, and a sentence in `why`, otherwise.
std::optional<Shard> parse_shard(std::string_view text, std::string& why);

}  // namespace normquant::validate
