// `normquant completion bash|zsh`: what the shell completes, made from the options themselves.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "exit_status.hpp"

namespace normquant::app {
namespace {

/// What an option takes, where it is one of a few words: its help names them as `{a,b}`.
std::vector<std::string> words_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::string names_of(const std::vector<const CLI::App*>& commands) {
  std::string names;
  for (const CLI::App* command : commands) names += (names.empty() ? "" : " ") + command->get_name();
  return names;
}

std::string bash(const CLI::App& app) {
  std::string options, values;
  for (const CLI::App* command : commands_of(app)) {
    options += fmt::format("    {}) options='{}' ;;\n", command->get_name(), fmt::join(option_names(*command), " "));
    for (const CLI::Option* option : command->get_options()) {
      if (words_of(*option).empty() || option->get_lnames().empty()) continue;
      values += fmt::format("    {}:--{}) words='{}' ;;\n", command->get_name(), option->get_lnames().front(),
                            fmt::join(words_of(*option), " "));
    }
  }
  return fmt::format(R"(# bash completion of {0}, written by `{0} completion bash`
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} options= words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{1} --help --version' -- "$current"))
    return
  fi
  case $command in
{2}  esac
  case $command:$before in
{3}  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _{0} {0}
)",
                     app.get_name(), names_of(commands_of(app)), options, values);
}

/// A text between single quotes in which zsh's _arguments sees no colon and no bracket.
std::string for_zsh(const std::string& text) {
  std::string safe;
  for (const char c : text.substr(0, text.find('\n'))) {
    if (c == '\'') safe += "'\\''";
    if (c == ':' || c == '[' || c == ']') safe += '\\';
    if (c != '\'') safe += c;
  }
  return safe;
}

std::string zsh(const CLI::App& app) {
  std::string commands, cases;
  for (const CLI::App* command : commands_of(app)) {
    commands += fmt::format("    '{}:{}'\n", command->get_name(), for_zsh(command->get_description()));
    cases += fmt::format("    {})\n      _arguments", command->get_name());
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        cases += fmt::format(" \\\n        '*--{}[{}]", name, for_zsh(option->get_description()));
        const std::vector<std::string> words = words_of(*option);
        if (option->get_items_expected_max() > 0) {
          cases += words.empty() ? ":value:_files" : fmt::format(":value:({})", fmt::join(words, " "));
        }
        cases += "'";
      }
    }
    cases += " \\\n        '*:file:_files' ;;\n";
  }
  return fmt::format(R"(#compdef {0}
# zsh completion of {0}, written by `{0} completion zsh`
_{0}() {{
  local -a commands
  commands=(
{1}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{2}  esac
}}
_{0} "$@"
)",
                     app.get_name(), commands, cases);
}

}  // namespace

void add_completion_command(CLI::App& app, int& status) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "print what the shell completes: source it, or install it");
  command->add_option("shell", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->footer(
      "bash: source <(normquant completion bash). zsh: normquant completion zsh >_normquant, in a folder of $fpath.");
  command->callback([shell, &app, &status] {
    fmt::print("{}", *shell == "bash" ? bash(app) : zsh(app));
    status = exit_pass;
  });
}

}  // namespace normquant::app
