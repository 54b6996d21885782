// `normquant report`
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"
#include "reports/facts_csv.hpp"
#include "reports/report.hpp"
#include "reports/whole_file.hpp"

namespace normquant::reports {
namespace {

struct ReportOptions {
  std::vector<std::string> files, baseline;
  std::string format, section, out, repeated = "pool";
  GateRule rule;
};

/// What ends the command early: the sentence and the exit status.
struct Refusal {
  int status;
  std::string sentence;
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
  if (const double effect = options.rule.min_effect; !(effect >= 0.001 && effect <= 1)) {  // so that NaN is refused
    throw Refusal{exit_usage, "--min-effect must lie between 0.001 and 1"};
  }
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

void print_or_write(const std::string& report, const std::string& out) {
  if (out.empty()) {
    fmt::print("{}", report);
  } else if (!write_whole(out, report)) {
    throw Refusal{exit_infrastructure,
                  fmt::format("cannot write {}; is the folder there, and may it be written to?", out)};
  }
}

void make_report(const ReportOptions& options) {
  check(options);
  Results results = read_or_refuse(options.files, options.repeated);
  std::optional<Results> baseline;
  if (!options.baseline.empty()) baseline = read_or_refuse(options.baseline, options.repeated);
  const Facts facts = facts_of(std::move(results), baseline ? &baseline->records : nullptr, options.rule);
  const std::string report = render(facts, format_of(options), options.section);
  print_or_write(report, options.out);
  warn_of_size(report, format_of(options));
}

int run_report(const ReportOptions& options) {
  try {
    make_report(options);
    return exit_pass;
  } catch (const Refusal& refusal) {
    fmt::print(stderr, "normquant report: {}\n", refusal.sentence);
    return refusal.status;
  }
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const Section& section : sections()) names.push_back(section.name);
  return names;
}

std::string empty_value(const std::string& text) { return text.empty() ? "the value is empty" : ""; }

}  // namespace

void add_report_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app.add_subcommand("report", "what records and validation results say: table, md, csv, json or page");
  command
      ->add_option(
          "files", options->files,
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
      ->capture_default_str();
  command->add_option("--out", options->out, "write to this file instead of the terminal")->check(empty_value);
  command->callback([options, &status] { status = run_report(*options); });
}

}  // namespace normquant::reports
