#include "tests/mutants/active.hpp"

#include <algorithm>
#include <vector>

namespace normquant::mutants {
namespace {

std::vector<Announce>& announcements() {
  static std::vector<Announce> all;
  return all;
}

}  // namespace

std::uint32_t active_mutant = 0;
unsigned char asked[most_mechanical] = {};

DeviceAnnouncement::DeviceAnnouncement(Announce announce) { announcements().push_back(announce); }

bool activate(std::uint32_t identity) {
  active_mutant = identity;
  return std::all_of(announcements().begin(), announcements().end(),
                     [&](Announce announce) { return announce(identity); });
}

}  // namespace normquant::mutants
