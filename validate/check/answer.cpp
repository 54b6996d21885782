#include "validate/check/answer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "output/words.hpp"

namespace normquant::check {
namespace {

std::vector<std::string> unchecked_outputs(const Given& given) {
  std::vector<std::string> names;
  for (const Role& role : roles_of(given.switches.op)) {
    if (role.output && given.tensor(role.name) == nullptr && given.dense(role.name) == nullptr) {
      names.emplace_back(role.name);
    }
  }
  return names;
}

}  // namespace

std::string title_of(const Given& given) {
  std::string text = to_text(given.problem);
  const std::string_view own = name_of(given.problem.op);
  return given.switches.op == Op::norm ? text.replace(text.find(own), own.size(), name_of(Op::norm)) : text;
}

std::string tensor_table(const validate::Verdict& verdict, const Given& given) {
  std::string text = fmt::format("{:<16} {:>14} {:>12} {:>12}\n", "tensor", "elements", "wrong", "worst/bound");
  for (const validate::TensorScore& score : verdict.tensors) {
    text += fmt::format("{:<16} {:>14} {:>12} {:>12}\n", score.tensor, score.checked, score.wrong,
                        output::short_figure(score.worst_error_over_bound));
  }
  if (const auto names = unchecked_outputs(given); !names.empty()) {
    text += fmt::format("not checked, since not given: {}\n", fmt::join(names, ", "));
  }
  return text;
}

std::string wrong_lines(const validate::Verdict& verdict) {
  std::string text = fmt::format("WRONG: {}\n", verdict.reason);
  for (const validate::Mismatch& m : verdict.mismatches) {
    text += fmt::format("  {}[{},{}]: expected {}, got {}\n", m.tensor, m.row, m.column, m.expected, m.actual);
  }
  return text;
}

std::string readings_line(const std::vector<std::string>& readings) {
  return readings.empty() ? std::string{}
                          : fmt::format("  with {} all of it would be right\n", fmt::join(readings, ", or with "));
}

std::string count_line(const validate::Verdict& verdict) {
  std::string text = fmt::format(
      "{} checked, {} wrong", output::counted(verdict.elements_checked, "element", "elements"), verdict.elements_wrong);
  if (verdict.codes_checked > 0) {
    text +=
        fmt::format("; {:.4f}% of the codes have two admissible values",
                    100.0 * static_cast<double>(verdict.codes_ambiguous) / static_cast<double>(verdict.codes_checked));
  }
  return text + "\n";
}

}  // namespace normquant::check
