// The shards whose files are joined: that they are parts of one whole, each there once, and what is missing of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "validate/shard.hpp"

namespace normquant::validate {

class ShardSet {
 public:
  /// A shard of `cases` cases, from the file at `path`. Returns a sentence that begins with `where` when it is one of another number
  /// of parts than those before, or is there already; else nothing.
  std::string add(const Shard& shard, const std::string& path, const std::string& where, std::int64_t cases);
  /// Of a file whose run did not end: `what` says what it has, as "3 of 8 cases".
  void did_not_end(const Shard& shard, const std::string& path, const std::string& what);
  /// All cases that the shards so far were planned to have.
  std::int64_t cases() const { return cases_; }
  /// A clause that names every shard that is missing or did not end, `found` cases being there; empty when nothing is missing.
  std::string missing(std::int64_t found) const;

 private:
  std::map<int, std::string> files_;  ///< by number
  std::vector<std::string> unfinished_;
  int of_ = 0;
  std::int64_t cases_ = 0;
};

}  // namespace normquant::validate
