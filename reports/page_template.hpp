// The page without its facts, put together from reports/page/ and the chart library when CMake configures.
#pragma once

#include <string_view>

namespace normquant::reports {

/// HTML in which `@FACTS@` stands, once, where the facts belong.
std::string_view page_template();

}  // namespace normquant::reports
