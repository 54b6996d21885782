// `normquant man`: the manual page, made from the options themselves.
#include <fmt/format.h>

#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "exit_status.hpp"

namespace normquant::app {
namespace {

/// roff takes a backslash, and a dot or quote at the beginning of a line, for its own.
std::string for_roff(const std::string& text) {
  std::string safe;
  bool at_line_begin = true;
  for (const char c : text) {
    if (at_line_begin && (c == '.' || c == '\'')) safe += "\\&";
    if (c == '\\') {
      safe += "\\e";
    } else if (c == '-') {
      safe += "\\-";
    } else {
      safe += c;
    }
    at_line_begin = c == '\n';
  }
  return safe;
}

std::string option_text(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "--" : ", --") + name;
  if (names.empty()) names = option.get_name();
  const bool takes_value = option.get_items_expected_max() > 0 && !option.get_lnames().empty();
  const std::string standard = option.get_default_str().empty() ? "" : " (default: " + option.get_default_str() + ")";
  return fmt::format(".TP\n.B {}{}\n{}{}\n", for_roff(names), takes_value ? " \\fIVALUE\\fR" : "",
                     for_roff(option.get_description()), for_roff(standard));
}

std::string command_text(const CLI::App& command) {
  std::string text = fmt::format(".SS {}\n{}\n", for_roff(command.get_name()), for_roff(command.get_description()));
  for (const CLI::Option* option : command.get_options()) text += option_text(*option);
  if (!command.get_footer().empty()) text += fmt::format(".PP\n{}\n", for_roff(command.get_footer()));
  return text;
}

constexpr const char* exit_statuses = R"(.SH EXIT STATUS
.TP
.B 0
everything asked for was done, and what was checked is right
.TP
.B 1
something was wrong: a variant's output, a given file, or the checks themselves
.TP
.B 2
bad arguments, a malformed file, or nothing matched
.TP
.B 3
the gate found something slower
.TP
.B 4
the gate could not decide
.TP
.B 5
CUDA, memory, or writing a result failed
.TP
.B 77
a GPU was asked for (--device cuda, --require-gpu), and it is not there
.SH ENVIRONMENT
.TP
.B NO_COLOR
no colours and no lines that replace themselves
.TP
.B COLUMNS
width of tables (default: that of the terminal; in a file or pipe a row is a line)
)";

std::string manual(const CLI::App& app) {
  std::string text = fmt::format(
      ".TH {} 1\n.SH NAME\nnormquant \\- checks and times fused norm + quantise kernels\n"
      ".SH SYNOPSIS\n.B {}\n\\fICOMMAND\\fR [\\fIOPTION\\fR]...\n.SH DESCRIPTION\n{}\n.SH COMMANDS\n",
      app.get_name(), app.get_name(), for_roff(app.get_description()));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }))
    text += command_text(*command);
  return text + exit_statuses;
}

}  // namespace

void add_man_command(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand("man", "print the manual page: normquant man | man -l -");
  command->callback([&app, &status] {
    fmt::print("{}", manual(app));
    status = exit_pass;
  });
}

}  // namespace normquant::app
