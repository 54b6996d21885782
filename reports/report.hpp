// The report for a terminal or as markdown: the verdict, per case the best variant, its time and how far it is from a
// plain copy, what changed. And the choice between all formats.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reports/facts.hpp"

namespace normquant::reports {

enum class Format { table, markdown, csv, json, html };

/// `table`, `md`, `csv`, `json` or `html`.
std::optional<Format> format_named(std::string_view name);

/// One line: device, driver, commit, when.
std::string environment_line(const Environment& environment);

/// `########--  81%`: a bar of ten for a share of the copy limit; above 1 the bar is full.
std::string share_bar(double share);

/// The report. With the name of a section (facts_csv.hpp) table, markdown and CSV are that list alone; without one CSV is
/// the list of cases.
std::string render(const Facts& facts, Format format, const std::string& section = {});

}  // namespace normquant::reports
