// What every command's options have in common: values that mean nothing are refused here, and nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "output/output_file.hpp"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace normquant::app {

/// Refuses what no option means: an empty value, control characters, for numbers what is none (nan, inf, 1e, 0x10, blanks). Walks
/// over the options of all subcommands; call when they are all there.
void refuse_meaningless_values(CLI::App& app);

/// A finite number from `least` to `most`.
CLI::Validator number_between(double least, double most);

/// A whole number from `least` to `most`.
CLI::Validator count_between(std::int64_t least, std::int64_t most);

/// Cases side by side, seeds and seconds, wherever they are asked for.
CLI::Validator jobs_range();
CLI::Validator seconds_range();

/// The options of a command, as `--device`.
std::vector<std::string> option_names(const CLI::App& command);

/// The sentence about words of the command line, in their order, that no option takes: an option that there is not, with one of
/// `options` that was meant, or words too many.
std::string unexpected(const std::vector<std::string>& words, const std::vector<std::string>& options);

/// `--force`, for commands that write files.
void add_force(CLI::App& command, output::Existing& existing);

}  // namespace normquant::app
