// `normquant report`
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <CLI/CLI.hpp>

#include "exit_status.hpp"
#include "reports/commands.hpp"
#include "reports/report.hpp"
#include "reports/whole_file.hpp"

namespace normquant::reports {
namespace {

struct ReportOptions {
  std::vector<std::string> files;
  std::string format = "table";
  std::string out;
};

int run_report(const ReportOptions& options) {
  const std::optional<Format> format = format_named(options.format);
  std::string why;
  const std::optional<RecordSet> set = read_records(options.files, why);
  if (!set) {
    fmt::print(stderr, "normquant report: {}\n", why);
    return exit_usage;
  }
  for (const std::string& warning : set->warnings) fmt::print(stderr, "normquant report: {}\n", warning);
  const std::string report = render(*set, format.value_or(Format::table));
  if (options.out.empty()) {
    fmt::print("{}", report);
    return exit_pass;
  }
  if (write_whole(options.out, report)) return exit_pass;
  fmt::print(stderr, "normquant report: cannot write {}\n", options.out);
  return exit_infrastructure;
}

}  // namespace

void add_report_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "per case the best variant, from record files");
  command->add_option("files", options->files, "record files (JSON lines) of `normquant bench --out`")->required();
  command->add_option("--format", options->format, "table, md, csv or json")
      ->check(CLI::IsMember({"table", "md", "csv", "json"}));
  command->add_option("--out", options->out, "write to this file instead of the terminal")
      ->check([](const std::string& path) { return std::string(path.empty() ? "the value is empty" : ""); });
  command->callback([options, &status] { status = run_report(*options); });
}

}  // namespace normquant::reports
