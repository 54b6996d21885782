// `normquant list`: operations, variants and what each serves.
#include <fmt/format.h>

#include <memory>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "exit_status.hpp"
#include "validate/commands.hpp"
#include "validate/prepared_problem.hpp"

namespace normquant::validate {
namespace {

struct ListOptions {
  std::string op, format = "table";
};

void print_table(const std::vector<Operation>& operations) {
  for (Operation op : operations) {
    const auto variants = catalogue(op, DeviceKind::host);
    fmt::print("{} ({} variants)\n", name_of(op), variants.size());
    fmt::print("  {:<36} {:>7} {:>5} {:>6}  {:<13} {}\n", "variant", "threads", "rows", "access", "bits", "what it is");
    for (const VariantEntry& v : variants) {
      fmt::print("  {:<36} {:>7} {:>5} {:>6}  {:<13} {}\n", v.name, v.threads_per_row, v.rows_per_block,
                 v.access_bytes == 1 ? "elem" : fmt::format("{} B", v.access_bytes),
                 v.deterministic ? "reproducible" : "vary", v.summary);
    }
    fmt::print("\n");
  }
  fmt::print(
      "threads: threads that share a row (weight_quant: of a block); rows: rows a block works on side by side; "
      "access:\n"
      "widest load or store (elem: any alignment, any N; others need rows that start at, and N that is, a multiple of\n"
      "the access). Devices: host{}.\n",
      built_with_cuda() ? " and cuda" : " only (this build has no CUDA kernels)");
}

void print_json(const std::vector<Operation>& operations) {
  nlohmann::json document = {{"schema", "normquant.list/1"}, {"operations", nlohmann::json::array()}};
  for (Operation op : operations) {
    nlohmann::json entry = {{"name", name_of(op)}, {"variants", nlohmann::json::array()}};
    for (const VariantEntry& v : catalogue(op, DeviceKind::host)) {
      entry["variants"].push_back(
          {{"name", v.name},
           {"summary", v.summary},
           {"deterministic", v.deterministic},
           {"threads_per_row", v.threads_per_row},
           {"rows_per_block", v.rows_per_block},
           {"access_bytes", v.access_bytes},
           {"devices", built_with_cuda() ? nlohmann::json{"host", "cuda"} : nlohmann::json::array({"host"})}});
    }
    document["operations"].push_back(entry);
  }
  fmt::print("{}\n", document.dump(1));
}

}  // namespace

void add_list_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = app.add_subcommand("list", "List operations, variants and what each supports");
  command->add_option("--op", options->op, "Only this operation (name or short form)");
  command->add_option("--format", options->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  command->callback([options, &status] {
    std::vector<Operation> operations(std::begin(all_operations), std::end(all_operations));
    if (!options->op.empty()) {
      operations = operations_named(options->op);
      if (operations.empty()) {
        fmt::print(stderr, "normquant: there is no operation '{}'; try normquant list\n", options->op);
        status = exit_usage;
        return;
      }
    }
    options->format == "json" ? print_json(operations) : print_table(operations);
  });
}

}  // namespace normquant::validate
