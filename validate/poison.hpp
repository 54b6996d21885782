// What outputs hold before a launch, and how an element that was never written is told from one that was given that value.
//
// No pattern is safe by itself: all bits set are a NaN that a kernel may have passed on, with its sign, and every byte is a
// code. So an element that holds the pattern is launched for once more, over another pattern: only what holds both, one after
// the other, was never written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>

namespace normquant::validate {

/// The first: 0xFF, a NaN in every floating type, or for codes 0x80, which finite input hardly gives. The second is a number
/// in every type.
enum class Poison { first, second };

/// Elements that held the first poison after a launch, and which of them hold the second after another.
class Unwritten {
 public:
  /// A launch over that poison is about to be looked at. The first forgets what came before.
  void begin(Poison poison) {
    poison_ = poison;
    if (poison == Poison::first) elements_.clear(), noted_ = 0;
  }
  Poison poison() const { return poison_; }

  /// The element holds the poison of this launch. Answers whether it held the first poison too: then it was never written.
  /// Under the first poison the answer is no, and the element is noted.
  bool still_holds(std::string_view tensor, std::int64_t row, std::int64_t column) {
    if (poison_ == Poison::second) {
      const auto found = elements_.find(tensor);
      return found != elements_.end() && found->second.count({row, column}) > 0;
    }
    ++noted_;
    if (noted_ > most_noted) return false;  // the second poison is wrong there as a value
    auto found = elements_.find(tensor);
    if (found == elements_.end()) found = elements_.try_emplace(std::string(tensor)).first;
    found->second.insert({row, column});
    return false;
  }

 private:
  static constexpr std::int64_t most_noted = std::int64_t{1}
                                             << 20;  ///< of a tensor that nobody wrote more is not needed
  struct Place {
    std::int64_t row, column;
    bool operator==(const Place&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Place& place) const {
      return std::hash<std::int64_t>()(place.row * 0x10001 + place.column);
    }
  };
  Poison poison_ = Poison::first;
  std::map<std::string, std::unordered_set<Place, Hash>, std::less<>> elements_;
  std::int64_t noted_ = 0;
};

}  // namespace normquant::validate
