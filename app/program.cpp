#include "app/program.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>
#include <CLI/CLI.hpp>

#include "app/options.hpp"
#include "exit_status.hpp"
#include "kernels/plugin/orphans.hpp"
#include "output/did_you_mean.hpp"
#include "output/escape.hpp"
#include "output/interrupt.hpp"
#include "output/standard_streams.hpp"
#include "output/words.hpp"
#include "refusal.hpp"

namespace normquant::app {
namespace {

/// Never throws: standard error may be closed.
void say(const std::string& program, const std::string& sentence) {
  std::fflush(stdout);  // where both go to one place, what was printed before comes before
  std::fprintf(stderr, "%s: %s\n", program.c_str(), sentence.c_str());
}

/// `normquant bench`, once it is known which command was meant.
std::string speaker(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app.get_name() : app.get_name() + " " + commands.front()->get_name();
}

/// The sentence about the first word of the command line when it names no subcommand; empty when it does.
std::string unknown_subcommand(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    names.push_back(command->get_name());
  }
  if (std::find(names.begin(), names.end(), argv[1]) != names.end() || !app.get_subcommands().empty()) return {};
  return "'" + output::printable(argv[1]) + "' does not name a subcommand" + output::did_you_mean(argv[1], names);
}

/// CLI11 says `--op: 1 required TEXT missing`, and `--out: At Most 1 required but received 2`.
std::string in_plain_words(const CLI::ParseError& error) {
  std::string text = output::printable(error.what());
  if (error.get_name() != "ArgumentMismatch") return text;
  const std::string option = text.substr(0, text.find(':'));
  if (text.find("At Most") != std::string::npos) return option + " is given more than once";
  return text.find("required") != std::string::npos ? option + " needs a value" : text;
}

int refused_arguments(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (const std::string sentence = unknown_subcommand(app, argc, argv); !sentence.empty()) {
    say(app.get_name(), sentence);
    say(app.get_name(), "run with --help for the subcommands");
    return exit_usage;
  }
  const auto commands = app.get_subcommands();
  const CLI::App& meant = commands.empty() ? app : *commands.front();
  const std::vector<std::string> words = app.remaining(true);
  say(speaker(app), words.empty() ? in_plain_words(error) : unexpected(words, option_names(meant)));
  say(speaker(app), "run with --help for more");
  return exit_usage;
}

int parse_and_run(CLI::App& app, int argc, char** argv, const int& status) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
      return app.exit(error);  // --help, --version
    return refused_arguments(app, error, argc, argv);
  } catch (const Refusal& refusal) {
    say(speaker(app), output::printable(refusal.sentence));
    return refusal.status;
  } catch (const std::bad_alloc&) {
    say(speaker(app), "out of memory; try a smaller shape or fewer --jobs");
    return exit_infrastructure;
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return exit_infrastructure;  // said below
    say(speaker(app), output::printable(output::json_trouble(error)));
    return exit_infrastructure;
  }
  if (status != exit_pass)
    say(speaker(app), "it ends with status " + std::to_string(status) + ", for the reasons above");
  return status;
}

}  // namespace

int run_program(CLI::App& app, int argc, char** argv, const int& status) {
  output::secure_standard_streams();
  output::handle_interrupts();
  const output::OnInterrupt along(plugins::end_all_children);
  refuse_meaningless_values(app);
  const int answer = parse_and_run(app, argc, argv, status);
  const std::string failure = output::standard_output_failure();
  if (failure.empty()) return answer;
  say(app.get_name(), "cannot write to standard output: " + failure);
  return answer == exit_pass ? exit_infrastructure : answer;
}

}  // namespace normquant::app
