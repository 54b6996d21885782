// `--bisect GOOD BAD --case CASE`: the commit that made a case slower.
#pragma once

#include <functional>
#include <string>

#include "bench/gate/gate_options.hpp"

namespace normquant::gate {

/// What is known of a commit.
struct CommitVerdict {
  enum class Word { good, bad, skip } word = Word::skip;
  std::string why;  ///< a sentence
};

/// Judges a commit (its full hash).
using JudgeCommit = std::function<CommitVerdict(const std::string& commit)>;

struct BisectResult {
  int status = 0;        ///< exit_status.hpp: 0 found, 4 only skipped commits are left, 5 git failed
  std::string sentence;  ///< what was found, or why nothing was
  std::string commit;    ///< the first bad one; empty: not found
  int judged = 0;        ///< commits judged by this call
};

/// Searches between the two commits with `git bisect`, whose state lies in a worktree of its own, `place`/source: the same call
/// goes on after an interruption. Nothing is checked out. The repository is the one around the current folder.
BisectResult bisect(const std::string& good, const std::string& bad, const std::string& place,
                    const JudgeCommit& judge);

/// `--bisect`: builds, compares and times. Prints what was found. Returns the exit status; throws a Refusal.
int bisect_case(const GateOptions& options);

/// The sweep file of one case named as the gate names it, `norm_quant_forward 4096x4096 bfloat16 rms auto`; the variant may be left
/// out. Throws a Refusal when it is no case.
struct NamedCase {
  std::string sweep;    ///< the text of the file
  std::string variant;  ///< "auto" when left out
};
NamedCase named_case(const std::string& text);

}  // namespace normquant::gate
