#include "app/tune_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/tune/fit_model.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"
#include "kernels/choice/installed_models.hpp"
#include "refusal.hpp"

namespace normquant::tune {
namespace {

choice::CostModel read_limits(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad() || text.empty()) throw Refusal{exit_usage, fmt::format("cannot read the model {}", path)};
  choice::CostModel model;
  std::string why;
  if (!choice::parse_model(text, model, why) || !choice::find_variants(model, why)) {
    throw Refusal{exit_usage, fmt::format("{}: {}", path, why)};
  }
  return model;
}

std::string figures(const Regrets& regrets) {
  if (regrets.cases.empty()) return "no cases";
  return fmt::format("mean {:.2f}%, 90th percentile {:.1f}%, worst {:.1f}%, {} cases", regrets.mean() * 100,
                     regret_quantile(regrets, 0.9) * 100, regrets.worst()->regret() * 100, regrets.cases.size());
}

using Takes = std::function<bool(const TimedCase&)>;

/// The groups that the figures are given for.
std::vector<std::pair<std::string, Takes>> groups() {
  std::vector<std::pair<std::string, Takes>> all;
  const auto is = [](const TimedCase& timed, Operation op) { return timed.point.op == op; };
  for (const Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward}) {
    all.emplace_back(std::string(name_of(op)), [=](const TimedCase& timed) { return is(timed, op); });
    constexpr const char* forms[] = {"rms", "codes", "residual", "layer", "no out"};
    for (std::size_t form = 0; form < choice::model_form_count; ++form) {
      all.emplace_back(fmt::format("  {}", forms[form]), [=](const TimedCase& timed) {
        return is(timed, op) && timed.point.aligned && choice::model_form(timed.point) == form;
      });
    }
    all.emplace_back("  odd N", [=](const TimedCase& timed) { return is(timed, op) && !timed.point.aligned; });
    for (const auto& [least, most] : {std::pair(1, 16), {17, 132}, {133, 1024}, {1025, 1 << 30}}) {
      all.emplace_back(
          most == 1 << 30 ? fmt::format("  {} rows and more", least) : fmt::format("  {} to {} rows", least, most),
          [=, low = least, high = most](const TimedCase& timed) {
            return is(timed, op) && timed.point.rows >= low && timed.point.rows <= high;
          });
    }
  }
  return all;
}

std::string report(const Regrets& regrets, const std::vector<TimedCase>& cases) {
  std::string text = fmt::format("{:<22} {}\n", "all", figures(regrets));
  for (const auto& [name, takes] : groups()) {
    Regrets some;
    for (const CaseRegret& regret : regrets.cases) {
      const auto timed =
          std::find_if(cases.begin(), cases.end(), [&](const TimedCase& other) { return other.text == regret.text; });
      if (takes(*timed)) some.cases.push_back(regret);
    }
    if (!some.cases.empty()) text += fmt::format("{:<22} {}\n", name, figures(some));
  }
  return text;
}

}  // namespace

int fit_to_records(const reports::RecordSet& records, const std::string& file, const std::string& out,
                   output::Existing existing) {
  const choice::CostModel limits = read_limits(file);
  std::string why;
  const std::optional<TimedDevice> device = device_of(records, why);
  if (!device) throw Refusal{exit_usage, why};
  if (device->name != limits.device) {
    throw Refusal{exit_usage, fmt::format("the records are of {}, the model of {}", device->name, limits.device)};
  }
  std::vector<std::string> notes;
  std::vector<TimedCase> cases = timed_cases(records, candidates_of_this_build(), notes);
  std::erase_if(cases, [&](const TimedCase& timed) { return choice::rank(limits, timed.point).count == 0; });
  if (cases.empty()) throw Refusal{exit_usage, "the records hold no case that the model knows a variant of"};
  const Regrets unseen = cross_validated(cases, limits);
  const choice::CostModel model = fit_model(cases, limits);
  const std::vector<std::string> comments = {
      "What the launches of this device cost beside each other, written by `normquant tune --fit`; docs/choice.md "
      "explains it.",
      fmt::format("Timed: {}", device->about),
      fmt::format("Loss on shapes that were left out of the fit, six times in turn: {}", figures(unseen)),
      "operation, variant, form, what its kernel may use, coefficients: 0.01 is 1% of the time"};
  output::write_document(out.empty() ? file : out, choice::to_text(model, comments), existing);
  for (const std::string& note : notes) fmt::print("{}\n", note);
  fmt::print("{}: fitted to {} cases\n", device->name, cases.size());
  fmt::print("loss on the shapes of the fit: {}\n", figures(regrets_of_model(model, cases)));
  fmt::print("loss on shapes that were left out:\n{}", report(unseen, cases));
  return exit_pass;
}

}  // namespace normquant::tune
