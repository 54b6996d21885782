#include "bench/tune/shapes_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <vector>

#include "bench/cases.hpp"
#include "output/did_you_mean.hpp"

namespace normquant::tune {
namespace {

using bench::CaseGroup;

std::vector<std::string> usual_forms(Operation op) {
  std::vector<std::string> forms = bench::usual_forms_of(op);
  std::erase(forms, "rms+unaligned");
  return forms;
}

/// Why the operation cannot have that form; empty when it can.
std::string why_no_form(Operation op, const std::string& form) {
  std::vector<std::string> known;
  for (const std::string_view name : bench::forms_of(op)) known.emplace_back(name);
  if (std::find(known.begin(), known.end(), form) != known.end()) return {};
  return fmt::format("{} has no form \"{}\"; it has {}{}", name_of(op), form, fmt::join(known, ", "),
                     output::did_you_mean(form, known));
}

/// Adds the groups of a line to the sweep. The sentence says what is wrong with it.
std::string add_line(const std::string& line, bench::Sweep& sweep) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string word, why;
  if (!(words >> word)) return {};
  const auto shape = bench::parse_timed_shape(word, why);
  if (!shape) return why;
  if (shape->k_out != 0) return fmt::format("the shape \"{}\" has a K_out; give MxN", word);
  std::vector<Operation> ops = {Operation::norm_quant_forward, Operation::norm_quant_backward};
  if (words >> word) ops = validate::operations_named(word);
  if (ops.empty()) {
    return fmt::format("there is no operation \"{}\"{}", word, output::did_you_mean(word, validate::operation_names()));
  }
  const std::vector<std::string> forms{std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()};
  for (const Operation op : ops) {
    if (is_layer(op)) return fmt::format("{} has no variants to choose from by shape", name_of(op));
    for (const std::string& form : forms) {
      if (why = why_no_form(op, form); !why.empty()) return why;
    }
    sweep.groups.push_back(CaseGroup{op, {*shape}, {DType::bfloat16}, forms.empty() ? usual_forms(op) : forms});
  }
  return {};
}

}  // namespace

std::optional<bench::Sweep> parse_shapes(std::string_view text, std::string& why) {
  bench::Sweep sweep{"shapes", "shapes of a user", {}};
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (why = add_line(line, sweep); why.empty()) continue;
    why = fmt::format("line {}: {}", number, why);
    return std::nullopt;
  }
  if (!sweep.groups.empty()) return sweep;
  why = "it has no shapes; write one a line, as 16x4096";
  return std::nullopt;
}

std::optional<bench::Sweep> read_shapes(const std::string& path, std::string& why) {
  std::ifstream file(path, std::ios::binary);
  std::error_code ignored;
  if (!file || std::filesystem::is_directory(path, ignored)) {
    why = fmt::format("cannot read the file of shapes {}", path);
    return std::nullopt;
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  const bool is_sweep = start != std::string::npos && text[start] == '{';
  std::optional<bench::Sweep> sweep = is_sweep ? bench::parse_sweep(text, why) : parse_shapes(text, why);
  if (!sweep) why = fmt::format("{}: {}", path, why);
  return sweep;
}

}  // namespace normquant::tune
