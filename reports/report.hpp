// The report: per case the best variant, its time and how far it is from a plain copy.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reports/records.hpp"

namespace normquant::reports {

enum class Format { table, markdown, csv, json };

/// `table`, `md`, `csv` or `json`.
std::optional<Format> format_named(std::string_view name);

/// One line: device, driver, commit, when.
std::string environment_line(const Environment& environment);

/// `########--  81%`: a bar of ten for a share of the copy limit; above 1 the bar is full.
std::string share_bar(double share);

/// The report of these records.
std::string render(const RecordSet& set, Format format);

}  // namespace normquant::reports
