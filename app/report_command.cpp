// `normquant report`
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "output/output_file.hpp"
#include "refusal.hpp"
#include "reports/facts_csv.hpp"
#include "reports/report.hpp"

namespace normquant::reports {
namespace {

struct ReportOptions {
  std::vector<std::string> files, baseline;
  std::string format, section, out, repeated = "pool";
  GateRule rule;
  output::Existing existing = output::Existing::refuse;
};

/// As asked for, else by the ending of the file to write, else a table.
Format format_of(const ReportOptions& options) {
  const std::size_t dot = options.out.find_last_of('.');
  const std::string ending = dot == std::string::npos ? "" : options.out.substr(dot + 1);
  const std::string& name = options.format.empty() ? ending : options.format;
  return format_named(name).value_or(Format::table);
}

Results read_or_refuse(const std::vector<std::string>& files, const std::string& repeated) {
  std::string why;
  std::optional<Results> results = read_results(files, repeated == "first" ? Repeated::first : Repeated::pool, why);
  if (!results) throw Refusal{exit_usage, why};
  for (const std::string& warning : results->records.warnings) fmt::print(stderr, "normquant report: {}\n", warning);
  return std::move(*results);
}

void check(const ReportOptions& options) {
  const Format format = format_of(options);
  if (!options.section.empty() && (format == Format::json || format == Format::html)) {
    throw Refusal{exit_usage, "--section is for the formats table, md and csv; json and html hold all sections"};
  }
}

/// Pages are meant to be small enough for a mail or a repository.
void warn_of_size(const std::string& report, Format format) {
  constexpr double most_megabytes = 3;
  const double megabytes = static_cast<double>(report.size()) / 1e6;
  if (format != Format::html || megabytes <= most_megabytes) return;
  fmt::print(stderr, "normquant report: the page has {:.1f} MB; a page for each operation or device would be smaller\n",
             megabytes);
}

int make_report(const ReportOptions& options) {
  check(options);
  output::OutputFile file;
  file.open(options.out, options.existing);
  Results results = read_or_refuse(options.files, options.repeated);
  std::optional<Results> baseline;
  if (!options.baseline.empty()) baseline = read_or_refuse(options.baseline, options.repeated);
  const Facts facts = facts_of(std::move(results), baseline ? &baseline->records : nullptr, options.rule);
  const std::string report = render(facts, format_of(options), options.section);
  file.commit(report);
  if (options.out.empty()) fmt::print("{}", report);
  warn_of_size(report, format_of(options));
  return exit_pass;
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const Section& section : sections()) names.push_back(section.name);
  return names;
}

}  // namespace

void add_report_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app.add_subcommand("report", "what records and validation results say: table, md, csv, json or page");
  command
      ->add_option(
          "FILE", options->files,
          "record files of `normquant bench --out`, results of `normquant validate` (--json, or what it prints)")
      ->required();
  command->add_option("--baseline", options->baseline, "record file to compare with (repeatable)")
      ->take_all()
      ->expected(1);
  command
      ->add_option("--format", options->format,
                   "table, md, csv, json or html (default: by the ending of --out, else table)")
      ->check(CLI::IsMember({"table", "md", "csv", "json", "html"}));
  command->add_option("--section", options->section, "this list alone, as table, md or csv (default of csv: cases)")
      ->check(CLI::IsMember(section_names()));
  command
      ->add_option("--repeated", options->repeated,
                   "a case in several files: pool its samples, or take the first file's")
      ->check(CLI::IsMember({"pool", "first"}))
      ->capture_default_str();
  command->add_option("--min-effect", options->rule.min_effect, "smallest change that counts, 0.001 to 1")
      ->check(app::number_between(0.001, 1))
      ->capture_default_str();
  command->add_option("--out", options->out, "write to this file instead of the terminal");
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = make_report(*options); });
}

}  // namespace normquant::reports
