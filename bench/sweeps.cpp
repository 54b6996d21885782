#include "bench/sweeps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <nlohmann/json.hpp>

#include "output/did_you_mean.hpp"
#include "output/words.hpp"

namespace normquant::bench {
namespace {

using nlohmann::json;
using validate::Shape;

constexpr std::size_t most_cases = 100'000;  // a typing error, not a sweep

// Parsing throws a Malformed with the sentence; parse_sweep catches it.
struct Malformed {
  std::string sentence;
};

[[noreturn]] void fail(std::string sentence) { throw Malformed{std::move(sentence)}; }

/// The names of a container's elements, for sentences.
template <class Names>
std::string listed(const Names& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

void refuse_unknown_keys(const json& object, std::initializer_list<std::string_view> known, const std::string& where) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      fail(fmt::format("{} has the unknown key \"{}\"; known are {}", where, key, listed(known)));
    }
  }
}

std::vector<std::string> strings(const json& group, const char* key, const std::string& where) {
  std::vector<std::string> values;
  if (!group.contains(key)) return values;
  if (!group.at(key).is_array() || group.at(key).empty()) {
    fail(fmt::format("{}: \"{}\" must be a list that is not empty", where, key));
  }
  for (const json& value : group.at(key)) {
    if (!value.is_string()) fail(fmt::format("{}: \"{}\" must hold texts, not {}", where, key, value.dump()));
    values.push_back(value.get<std::string>());
  }
  return values;
}

std::vector<std::int64_t> sizes(const json& group, const char* key, const std::string& where) {
  std::vector<std::int64_t> values;
  if (!group.contains(key)) return values;
  if (!group.at(key).is_array() || group.at(key).empty()) {
    fail(fmt::format("{}: \"{}\" must be a list that is not empty", where, key));
  }
  for (const json& value : group.at(key)) {
    if (!value.is_number_integer()) fail(fmt::format("{}: \"{}\" must hold whole numbers", where, key));
    values.push_back(value.get<std::int64_t>());
  }
  return values;
}

Shape shape_of(const std::string& text, const std::string& where) {
  std::string why;
  const std::optional<Shape> shape = parse_timed_shape(text, why);
  if (!shape) fail(fmt::format("{}: {}", where, why));
  return *shape;
}

/// Whether rows and columns are paired rather than multiplied.
bool zipped(const json& group, const std::string& where) {
  if (!group.contains("zip")) return false;
  if (!group.at("zip").is_boolean()) fail(fmt::format("{}: \"zip\" must be true or false", where));
  return group.at("zip").get<bool>();
}

std::vector<Shape> parse_shapes(const json& group, Operation op, const std::string& where) {
  std::vector<Shape> shapes;
  for (const std::string& text : strings(group, "shapes", where)) {
    shapes.push_back(shape_of(text, where));
    if (shapes.back().k_out > 0 && !is_layer(op)) {
      fail(fmt::format("{}: the shape \"{}\" has a K_out, and {} has none; only bit_linear has", where, text,
                       name_of(op)));
    }
  }
  const auto rows = sizes(group, "rows", where), columns = sizes(group, "columns", where);
  if (rows.empty() != columns.empty()) fail(fmt::format("{}: \"rows\" and \"columns\" come together", where));
  const bool zip = zipped(group, where);
  if (zip && rows.size() != columns.size()) {
    fail(fmt::format("{}: \"zip\" pairs {} rows with {} columns; give as many of both", where, rows.size(),
                     columns.size()));
  }
  for (std::size_t n = 0; n < columns.size(); ++n) {
    for (std::size_t m = 0; m < rows.size(); ++m) {
      if (!zip || m == n) shapes.push_back(shape_of(fmt::format("{}x{}", rows[m], columns[n]), where));
    }
  }
  if (shapes.empty()) fail(fmt::format("{}: give \"shapes\", or \"rows\" and \"columns\"", where));
  return shapes;
}

Operation parse_operation(const json& group, const std::string& where) {
  if (!group.contains("op") || !group.at("op").is_string()) fail(fmt::format("{}: give \"op\", a text", where));
  const auto name = group.at("op").get<std::string>();
  const std::optional<Operation> op = operation_named(name);
  if (!op) {
    fail(fmt::format("{}: there is no operation \"{}\"; known are {}", where, name, validate::known_operations));
  }
  return *op;
}

std::vector<std::string> parse_forms(const json& group, Operation op, const std::string& where) {
  const auto known = forms_of(op);
  std::vector<std::string> forms = strings(group, "forms", where);
  for (const std::string& form : forms) {
    if (!make_case(op, {1, 1}, DType::bfloat16, form)) {
      fail(fmt::format("{}: {} has no form \"{}\"; it has {}; kinds of input values may follow, as in {}+zeros", where,
                       name_of(op), form, listed(known), known.front()));
    }
  }
  if (forms.empty()) forms = usual_forms_of(op);
  return forms;
}

CaseGroup parse_group(const json& group, const std::string& where) {
  if (!group.is_object()) fail(fmt::format("{} must be an object", where));
  refuse_unknown_keys(group, {"op", "shapes", "rows", "columns", "zip", "dtypes", "forms"}, where);
  CaseGroup parsed;
  parsed.op = parse_operation(group, where);
  parsed.shapes = parse_shapes(group, parsed.op, where);
  if (const auto names = strings(group, "dtypes", where); !names.empty()) {
    parsed.dtypes.clear();
    for (const std::string& name : names) {
      const std::optional<DType> dtype = dtype_named(name);
      if (!dtype) {
        fail(fmt::format("{}: there is no type \"{}\"; known are float32, float16, bfloat16", where, name));
      }
      parsed.dtypes.push_back(*dtype);
    }
  }
  parsed.forms = parse_forms(group, parsed.op, where);
  return parsed;
}

std::string text_of(const json& object, const char* key) {
  if (!object.contains(key)) return {};
  if (!object.at(key).is_string()) fail(fmt::format("\"{}\" must be a text", key));
  return object.at(key).get<std::string>();
}

Sweep parse_document(const json& document) {
  if (!document.is_object()) fail("a sweep must be an object");
  refuse_unknown_keys(document, {"name", "about", "cases"}, "the sweep");
  if (!document.contains("cases") || !document.at("cases").is_array() || document.at("cases").empty()) {
    fail("give \"cases\", a list that is not empty");
  }
  Sweep sweep{text_of(document, "name"), text_of(document, "about"), {}};
  std::size_t count = 0;
  for (const json& group : document.at("cases")) {
    sweep.groups.push_back(parse_group(group, fmt::format("case {}", sweep.groups.size() + 1)));
    const CaseGroup& added = sweep.groups.back();
    count += added.shapes.size() * added.dtypes.size() * added.forms.size();
    if (count > most_cases) fail(fmt::format("that is more than {} cases", most_cases));
  }
  return sweep;
}

}  // namespace

std::optional<Shape> parse_timed_shape(std::string_view text, std::string& why) {
  const std::optional<Shape> shape = validate::parse_any_shape(text, why);
  if (!shape || shape->rows > 0) return shape;
  why = fmt::format("the shape \"{}\" has no rows, so there is nothing to time", text);
  return std::nullopt;
}

std::optional<Sweep> parse_sweep(std::string_view text, std::string& why) {
  try {
    return parse_document(json::parse(text));
  } catch (const json::exception& error) {
    why = output::json_trouble(error);
  } catch (const Malformed& malformed) {
    why = malformed.sentence;
  }
  return std::nullopt;
}

std::optional<Sweep> find_sweep(const std::string& name_or_path, std::string& why) {
  std::vector<std::string> names;
  for (const Sweep& sweep : named_sweeps()) {
    if (sweep.name == name_or_path) return sweep;
    names.push_back(sweep.name);
  }
  std::ifstream file(name_or_path);
  std::error_code ignored;
  if (!file || std::filesystem::is_directory(name_or_path, ignored)) {
    why = fmt::format("there is no sweep and no readable file \"{}\"; named sweeps are {}{}", name_or_path,
                      listed(names), output::did_you_mean(name_or_path, names));
    return std::nullopt;
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::optional<Sweep> sweep = parse_sweep(text, why);
  if (!sweep) why = fmt::format("the sweep file {} is malformed: {}", name_or_path, why);
  if (sweep && sweep->name.empty()) sweep->name = "unnamed";
  return sweep;
}

Sweep narrowed(const Sweep& sweep, const Narrowing& narrowing) {
  Sweep result{sweep.name, sweep.about, {}};
  for (CaseGroup group : sweep.groups) {
    const auto& ops = narrowing.ops;
    if (!ops.empty() && std::find(ops.begin(), ops.end(), group.op) == ops.end()) continue;
    if (!narrowing.shapes.empty()) group.shapes = narrowing.shapes;
    if (!narrowing.dtypes.empty()) group.dtypes = narrowing.dtypes;
    result.groups.push_back(std::move(group));
  }
  return result;
}

Sweep all_forms() {
  Sweep sweep{"shapes", "every operation in its usual forms on the given shapes", {}};
  for (Operation op : all_operations) {
    sweep.groups.push_back({op, {}, {DType::bfloat16}, usual_forms_of(op)});
  }
  return sweep;
}

std::vector<Case> expand(const Sweep& sweep) {
  std::vector<Case> cases;
  std::set<std::string> seen;
  for (const CaseGroup& group : sweep.groups) {
    for (const Shape& shape : group.shapes) {
      for (DType dtype : group.dtypes) {
        for (const std::string& form : group.forms) {
          std::optional<Case> made = make_case(group.op, shape, dtype, form);
          if (made && seen.insert(case_name(*made, "")).second) cases.push_back(std::move(*made));
        }
      }
    }
  }
  return cases;
}

}  // namespace normquant::bench
