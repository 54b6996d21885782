#include "host/watch/finding.hpp"

#include <algorithm>

namespace normquant::host_exec::watch {
namespace {

std::string index_text(const dim3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}
std::string who(const Access& access) {
  return "thread " + index_text(access.thread) + " of block " + index_text(access.block);
}
std::string memory_of(const Finding& f) {
  return "at byte " + std::to_string(f.offset) + " of " + std::to_string(f.memory_bytes) + " bytes of " +
         (f.space == Space::shared ? "shared" : "global") + " memory";
}
std::string deed(const Access& access, bool past) {
  if (access.atomic) return past ? "changed atomically" : "changes atomically";
  if (access.writes) return past ? "wrote" : "writes";
  return past ? "read" : "reads";
}

std::string sentence_of(const Finding& f, const Places& places) {
  const std::string subject = who(f.access) + " (" + places.text(f.access.place) + ") ";
  const std::string doing = deed(f.access, false) + " " + std::to_string(f.access.bytes) + " bytes ";
  const std::string of_ended = f.ended ? " of a block that has ended or not begun" : "";
  switch (f.mistake) {
    case Mistake::race:
      return "race: " + subject + doing + memory_of(f) + ", which " + who(f.other) + " (" + places.text(f.other.place) +
             ") " + deed(f.other, true) +
             "; no barrier, warp synchronisation, fence with an atomic, or end of a kernel is between them";
    case Mistake::unwritten: return "unwritten: " + subject + doing + memory_of(f) + of_ended + ", which nothing wrote";
    case Mistake::outside: return "out of bounds: " + subject + doing + memory_of(f) + of_ended;
    case Mistake::misaligned:
      return "misaligned: " + subject + doing + memory_of(f) + ", whose address is no multiple of " +
             std::to_string(f.access.bytes);
    case Mistake::copying:
      return "copy under way: " + subject + doing + memory_of(f) + ", where an asynchronous copy of " + who(f.other) +
             " (" + places.text(f.other.place) + ") was not waited for";
    case Mistake::barriers: break;
  }
  return "barrier: " + subject + "waits at the block's barrier, where " + who(f.other) + " waits from another place (" +
         places.text(f.other.place) + "); all threads of a block must come to the same one";
}

}  // namespace

void Findings::add(const Finding& finding) {
  const auto places = std::minmax(finding.access.place, finding.other.place);
  if (!known_.emplace(finding.mistake, places.first, places.second).second) return;
  if (findings_.size() < most) {
    findings_.push_back(finding);
  } else {
    ++left_out_;
  }
}

std::vector<std::string> Findings::take(const Places& places) {
  std::vector<std::string> sentences;
  // Races first: what a race lets a thread read too early is often unwritten too.
  std::stable_partition(findings_.begin(), findings_.end(),
                        [](const Finding& f) { return f.mistake == Mistake::race; });
  for (const Finding& finding : findings_) {
    const std::string sentence = sentence_of(finding, places);
    if (std::find(sentences.begin(), sentences.end(), sentence) == sentences.end()) sentences.push_back(sentence);
  }
  if (left_out_ > 0) sentences.push_back("and " + std::to_string(left_out_) + " more pairs of places");
  *this = {};
  return sentences;
}

}  // namespace normquant::host_exec::watch
