// Judges tensors in memory, and writes those that failed where `normquant check` reads them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "exit_status.hpp"
#include "output/escape.hpp"
#include "python/native/oracle_request.hpp"
#include "refusal.hpp"
#include "validate/check/answer.hpp"
#include "validate/check/check.hpp"
#include "validate/check/readings.hpp"

namespace normquant::python {
namespace {

using validate::Outcome;

check::Given arranged(const Json& request, const NormquantTensor* tensors, std::int32_t count) {
  std::string why;
  auto given = check::arrange(check::switches_of(words_of(request)), tensors_of(tensors, count), why);
  if (!given) throw Refusal{exit_usage, why};
  return std::move(*given);
}

/// JSON has no infinity: null.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json judge(const Json& request, check::Given given) {
  check::Walk walk;
  walk.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U));
  const validate::Verdict v = check::check(given, walk);
  if (v.elements_checked == 0) throw Refusal{exit_usage, "nothing was checked: the given outputs have no elements"};
  const bool wrong = v.outcome == Outcome::wrong;
  const std::string doubt = v.outcome == Outcome::pass ? check::undecided(v) : "";
  std::vector<std::string> readings;
  if (wrong && !request.value("quick", false)) readings = check::other_readings(given, walk);
  Json answer = {{"outcome", wrong           ? "wrong"
                             : doubt.empty() ? "right"
                                             : "cannot tell"},
                 {"reason", wrong ? v.reason : doubt},
                 {"title", check::title_of(given)},
                 {"elements_checked", v.elements_checked},
                 {"elements_wrong", v.elements_wrong},
                 {"readings", readings},
                 {"tensors", Json::array()},
                 {"mismatches", Json::array()}};
  if (v.outcome != Outcome::pass && !wrong) return failure("error", v.reason);
  for (const validate::TensorScore& score : v.tensors) {
    answer["tensors"].push_back({{"tensor", score.tensor},
                                 {"elements", score.checked},
                                 {"wrong", score.wrong},
                                 {"worst_over_bound", finite(score.worst_error_over_bound)}});
  }
  for (const validate::Mismatch& m : v.mismatches) {
    answer["mismatches"].push_back(
        {{"tensor", m.tensor}, {"row", m.row}, {"column", m.column}, {"expected", m.expected}, {"actual", m.actual}});
  }
  std::string text = check::title_of(given) + "\n" + check::tensor_table(v, given);
  if (wrong) text += check::wrong_lines(v) + check::readings_line(readings);
  if (!doubt.empty()) text += "CANNOT TELL: " + doubt + "\n";
  answer["text"] = text + check::count_line(v);
  return answer;
}

/// What safetensors calls an element.
const char* safetensors_name(tensors::Element element) {
  using tensors::Element;
  switch (element) {
    case Element::float64: return "F64";
    case Element::float32: return "F32";
    case Element::float16: return "F16";
    case Element::bfloat16: return "BF16";
    case Element::int8: return "I8";
    case Element::uint8:
    case Element::bits8: return "U8";
    case Element::fp8_e4m3: return "F8_E4M3";
    case Element::bits16: break;
  }
  return "U16";
}

Json save(const Json& request, const check::Tensors& tensors) {
  const auto path = request.at("file").get<std::string>();
  Json header = Json::object();
  std::size_t end = 0;
  for (const auto& [role, tensor] : tensors) {
    const std::size_t begin = end;
    end += tensor.bytes.size();
    header[role] = {
        {"dtype", safetensors_name(tensor.element)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::ofstream file(path, std::ios::binary);
  for (int byte = 0; byte < 8; ++byte) file.put(static_cast<char>(text.size() >> (8 * byte) & 0xff));
  file << text;
  for (const auto& [role, tensor] : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  file.close();
  if (!file) return failure("error", "cannot write " + path);
  return {{"outcome", "right"},
          {"command", fmt::format("normquant check {} --tensors {}", check::options_of(words_of(request)),
                                  output::quoted_for_shell(path))}};
}

}  // namespace
}  // namespace normquant::python

using namespace normquant::python;

extern "C" char* normquant_oracle_judge(const char* request, const NormquantTensor* tensors, std::int32_t count) {
  return answered(request, [&](const Json& asked) { return judge(asked, arranged(asked, tensors, count)); });
}

extern "C" char* normquant_oracle_save(const char* request, const NormquantTensor* tensors, std::int32_t count) {
  return answered(request, [&](const Json& asked) { return save(asked, tensors_of(tensors, count)); });
}
