// The lists of the facts as CSV, one at a time.
#pragma once

#include <string>
#include <vector>
#include <nlohmann/json_fwd.hpp>

namespace normquant::reports {

/// A list of the document of facts_as_json and the keys of its entries, in order.
struct Section {
  std::string name;
  std::vector<std::string> keys;
};

/// The lists that `--section` can name.
const std::vector<Section>& sections();

/// That list of the document as RFC 4180 text, the keys first; null is an empty cell. `name` is that of a section.
std::string section_as_csv(const nlohmann::ordered_json& document, const std::string& name);

}  // namespace normquant::reports
