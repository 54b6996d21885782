// The tables that reports are made of.
#pragma once

#include "output/escape.hpp"
#include "output/table.hpp"

namespace normquant::reports {

using output::Column;
using output::escaped_for_markdown;
using output::printable;  // records may hold anything, and terminals obey control characters
using output::Table;
using output::to_csv;
using output::to_markdown;
using output::to_terminal;

}  // namespace normquant::reports
