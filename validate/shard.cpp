#include "validate/shard.hpp"

#include <fmt/format.h>

#include <charconv>

namespace normquant::validate {

std::optional<Shard> parse_shard(std::string_view text, std::string& why) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto number = std::from_chars(text.data(), end, shard.number);
  if (number.ec == std::errc() && number.ptr != end && *number.ptr == '/') {
    const auto of = std::from_chars(number.ptr + 1, end, shard.of);
    if (of.ec == std::errc() && of.ptr == end && shard.number >= 1 && shard.number <= shard.of &&
        shard.of <= most_shards) {
      return shard;
    }
  }
  why = fmt::format("\"{}\" is not a shard; give I/N with 1 <= I <= N <= {}, such as 2/3", text, most_shards);
  return std::nullopt;
}

}  // namespace normquant::validate
