#include "validate/shard_set.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normquant::validate {
namespace {

std::string shortened(const std::vector<std::string>& list) {
  constexpr std::size_t most_named = 20;
  const std::vector<std::string> named(list.begin(),
                                       list.begin() + static_cast<std::ptrdiff_t>(std::min(list.size(), most_named)));
  return fmt::format("{}{}", fmt::join(named, ", "),
                     list.size() > most_named ? fmt::format(" and {} more", list.size() - most_named) : "");
}

}  // namespace

std::string ShardSet::add(const Shard& shard, const std::string& path, const std::string& where, std::int64_t cases) {
  if (of_ != 0 && of_ != shard.of) {
    return fmt::format("{}: this is of {} shards, {} is of {}", where, shard.of, files_.begin()->second, of_);
  }
  of_ = shard.of;
  cases_ += cases;
  const auto [before, added] = files_.emplace(shard.number, path);
  return added ? ""
               : fmt::format("{}: the shard {}/{} is there twice, in {} too", where, shard.number, shard.of,
                             before->second);
}

void ShardSet::did_not_end(const Shard& shard, const std::string& path, const std::string& what) {
  unfinished_.push_back(fmt::format("{}/{} ({}: {})", shard.number, shard.of, path, what));
}

std::string ShardSet::missing(std::int64_t found) const {
  std::vector<std::string> missing;
  for (int number = 1; number <= of_; ++number) {
    if (files_.count(number) == 0) missing.push_back(fmt::format("{}/{}", number, of_));
  }
  const bool one = missing.size() == 1, one_open = unfinished_.size() == 1;
  std::string text;
  if (!missing.empty()) {
    text = fmt::format("the shard{} {} {} missing", one ? "" : "s", shortened(missing), one ? "is" : "are");
  }
  if (unfinished_.empty()) return text;
  return fmt::format("{}{}{} of {} cases are missing: the shard{} {} did not end; run {} again with --resume", text,
                     text.empty() ? "" : "; ", cases_ - found, cases_, one_open ? "" : "s", shortened(unfinished_),
                     one_open ? "it" : "them");
}

}  // namespace normquant::validate
