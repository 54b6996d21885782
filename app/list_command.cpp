// `normquant list`: operations, variants and what each serves.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/plugins.hpp"
#include "kernels/plugin/worker.hpp"
#include "output/did_you_mean.hpp"
#include "output/table.hpp"
#include "refusal.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::validate {
namespace {

struct ListOptions {
  std::string op, format = "table";
  std::vector<std::string> plugins;
  double plugin_timeout = plugins::default_seconds;
};

struct ListedVariant {
  VariantEntry entry;
  std::vector<std::string> devices;
};

/// The library's own variants run on every device that this build has; a plugin's where it says.
std::vector<ListedVariant> listed(Operation op) {
  std::vector<ListedVariant> all;
  for (DeviceKind kind : {DeviceKind::host, DeviceKind::cuda}) {
    for (const VariantEntry& entry : catalogue(op, kind)) {
      auto found = std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.entry.name == entry.name; });
      if (found == all.end()) found = all.insert(all.end(), ListedVariant{entry, {}});
      found->devices.emplace_back(kind == DeviceKind::host ? "host" : "cuda");
    }
  }
  return all;
}

/// The widest access as text; a plugin does not say.
std::string access_text(int bytes) { return bytes == 0 ? "-" : bytes == 1 ? "elem" : fmt::format("{} B", bytes); }

void print_table(const std::vector<Operation>& operations) {
  for (Operation op : operations) {
    const auto variants = listed(op);
    fmt::print("{} ({} variants)\n", name_of(op), variants.size());
    output::Table table;
    table.columns = {{"variant"}, {"threads", true}, {"rows", true}, {"access", true},
                     {"bits"},    {"of a row"},      {"what it is"}};
    for (const auto& [v, devices] : variants) {
      table.rows.push_back({std::string(v.name), std::to_string(v.threads_per_row), std::to_string(v.rows_per_block),
                            access_text(v.access_bytes), v.deterministic ? "reproducible" : "vary",
                            v.row_invariant ? "kept" : "follow M", std::string(v.summary)});
    }
    fmt::print("{}\n", output::to_terminal(table));
  }
  fmt::print(
      "threads: threads that share a row (weight_quant: of a block); rows: rows a block\n"
      "works on side by side; access: widest load or store (elem: any alignment, any N;\n"
      "others need rows that start at, and N that is, a multiple of the access);\n"
      "bits of a row: kept whatever M is and wherever it stands (docs/row_invariance.md).\n"
      "Devices: host{}.\n",
      built_with_cuda() ? " and cuda" : " only (this build has no CUDA kernels)");
}

void print_json(const std::vector<Operation>& operations) {
  nlohmann::json document = {{"schema", "normquant.list/1"}, {"operations", nlohmann::json::array()}};
  for (Operation op : operations) {
    nlohmann::json entry = {{"name", name_of(op)}, {"variants", nlohmann::json::array()}};
    for (const auto& [v, devices] : listed(op)) {
      entry["variants"].push_back({{"name", v.name},
                                   {"summary", v.summary},
                                   {"deterministic", v.deterministic},
                                   {"row_invariant", v.row_invariant},
                                   {"threads_per_row", v.threads_per_row},
                                   {"rows_per_block", v.rows_per_block},
                                   {"access_bytes", v.access_bytes},
                                   {"plugin", plugins::file_of(v.name)},
                                   {"devices", devices}});
    }
    document["operations"].push_back(entry);
  }
  fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

int list(const ListOptions& options) {
  if (std::string why; !plugins::open(options.plugins, options.plugin_timeout, why)) throw Refusal{exit_usage, why};
  std::vector<Operation> operations(std::begin(all_operations), std::end(all_operations));
  if (!options.op.empty()) {
    operations = operations_named(options.op);
    if (operations.empty()) {
      throw Refusal{exit_usage, fmt::format("there is no operation '{}'; there are {}{}", options.op, known_operations,
                                            output::did_you_mean(options.op, operation_names()))};
    }
  }
  options.format == "json" ? print_json(operations) : print_table(operations);
  return exit_pass;
}

}  // namespace

void add_list_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = app.add_subcommand("list", "List operations, variants and what each supports");
  command->add_option("--op", options->op, "Only this operation (name or short form)");
  command->add_option("--plugin", options->plugins, "Shared library with variants of your own (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--plugin-timeout", options->plugin_timeout, "Seconds that loading a plugin may take")
      ->capture_default_str()
      ->check(app::number_between(0.1, 86400));
  command->add_option("--format", options->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  command->callback([options, &status] { status = list(*options); });
}

}  // namespace normquant::validate
