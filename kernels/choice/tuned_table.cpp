#include "choice/tuned_table.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "choice/text_lines.hpp"

namespace normquant::choice {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t start = std::min(text.find_first_not_of(blanks), text.size());
  text.remove_prefix(start);
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::int64_t parse_count(std::string_view word, const char* what) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value < 1 || value > most) {
    fail(std::string(what) + " is " + quoted(word) + "; it must be a whole number of 1 or more");
  }
  return value;
}

/// `9.0` as 90.
int parse_capability(std::string_view word) {
  int major = 0, minor = -1;
  const char* end = word.data() + word.size();
  const auto dot = std::from_chars(word.data(), end, major);
  const bool has_dot = dot.ec == std::errc{} && dot.ptr != end && *dot.ptr == '.';
  const bool good = has_dot && std::from_chars(dot.ptr + 1, end, minor).ptr == end;
  if (!good || major < 1 || major > 1000 || minor < 0 || minor > 9) {
    fail("the compute capability is " + quoted(word) + "; write it like 9.0");
  }
  return 10 * major + minor;
}

Listed parse_listed(std::string_view word) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const bool good_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  Listed listed{std::string(name), 0};
  if (equals != std::string_view::npos) {
    const std::string_view cost = word.substr(equals + 1);
    const auto [end, error] = std::from_chars(cost.data(), cost.data() + cost.size(), listed.cost);
    if (error != std::errc{} || end != cost.data() + cost.size()) listed.cost = 0;
  }
  if (!good_name || !(listed.cost >= 1 && listed.cost <= 1000)) {
    fail(quoted(word) + " is not a variant with its time over the best, as in some_variant=1.04");
  }
  return listed;
}

std::vector<Listed> parse_list(std::string_view line) {
  std::vector<Listed> list;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    Listed listed = parse_listed(word);
    const bool twice =
        std::any_of(list.begin(), list.end(), [&](const Listed& other) { return other.variant == listed.variant; });
    if (twice) fail("the variant " + quoted(listed.variant) + " is listed twice");
    if (!list.empty() && listed.cost < list.back().cost) fail("the variants are not in the order of their times");
    list.push_back(std::move(listed));
  }
  if (list.empty()) fail("the cell lists no variant");
  if (list.size() > most_listed) fail("the cell lists more than " + std::to_string(most_listed) + " variants");
  return list;
}

Cell parse_cell(Operation op, std::string_view line) {
  Cell cell;
  cell.point.op = op;
  const std::string_view type_name = take_word(line);
  const std::optional<DType> type = dtype_named(type_name);
  if (!type) fail("there is no type " + quoted(type_name) + "; known are float32, float16, bfloat16");
  cell.point.type = *type;
  const std::string_view form_name = take_word(line);
  const std::optional<Form> form = parse_form(op, form_name);
  if (!form) fail(quoted(form_name) + " is not a form of " + std::string(name_of(op)));
  cell.point.form = *form;
  const std::string_view alignment = take_word(line);
  if (alignment != "aligned" && alignment != "unaligned")
    fail("expected aligned or unaligned, not " + quoted(alignment));
  cell.point.aligned = alignment == "aligned";
  cell.point.rows = parse_count(take_word(line), "M");
  cell.point.columns = parse_count(take_word(line), "N");
  cell.listed = parse_list(line);
  return cell;
}

/// Two decimals, whatever the locale.
std::string cost_text(double cost) {
  const long hundredths = std::lround(cost * 100);
  const std::string decimals = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (decimals.size() < 2 ? ".0" : ".") + decimals;
}

class Parser {
 public:
  explicit Parser(TunedTable& table) : table_(table) {}

  void parse_line(std::string_view line) {
    std::string_view rest = line;
    const std::string_view word = take_word(rest);
    if (word.empty() || word.front() == '#') return;
    if (word == "device" || word == "compute_capability" || word == "sm_count") return parse_head(word, rest);
    const std::optional<Operation> op = operation_named(word);
    if (!op || is_layer(*op) || word != name_of(*op))
      fail(quoted(word) + " is neither a line of the head nor an operation");
    if (table_.device.empty()) fail("the line 'device NAME' must come before the cells");
    Cell cell = parse_cell(*op, rest);
    if (!seen_.insert(to_text(cell.point)).second) fail("there is an earlier cell of the same problem");
    table_.cells.push_back(std::move(cell));
  }

 private:
  void parse_head(std::string_view word, std::string_view rest) {
    if (!heads_.insert(std::string(word)).second) fail("there is an earlier line " + quoted(word));
    const std::string_view value = trimmed(rest);
    if (value.empty()) fail("the line " + quoted(word) + " has no value");
    if (word == "device") table_.device = value;
    if (word == "compute_capability") table_.compute_capability = parse_capability(value);
    if (word == "sm_count")
      table_.sm_count = static_cast<int>(std::min<std::int64_t>(parse_count(value, "sm_count"), 1 << 30));
  }

  TunedTable& table_;
  std::set<std::string> heads_, seen_;
};

}  // namespace

bool parse_table(std::string_view text, TunedTable& table, std::string& why) {
  table = {};
  Parser parser(table);
  if (!for_each_line(text, why, [&parser](std::string_view line) { parser.parse_line(line); })) return false;
  if (table.device.empty()) why = "it does not say 'device NAME'";
  if (!table.device.empty() && table.cells.empty()) why = "it has no cells";
  return !table.device.empty() && !table.cells.empty();
}

std::string to_text(const TunedTable& table, const std::vector<std::string>& comments) {
  std::string text;
  for (const std::string& comment : comments) text += "# " + comment + "\n";
  text += "device " + table.device + "\n";
  if (table.compute_capability > 0) {
    text += "compute_capability " + std::to_string(table.compute_capability / 10) + "." +
            std::to_string(table.compute_capability % 10) + "\n";
  }
  if (table.sm_count > 0) text += "sm_count " + std::to_string(table.sm_count) + "\n";
  std::size_t widest = 0;
  for (const Cell& cell : table.cells) widest = std::max(widest, to_text(cell.point).size());
  for (const Cell& cell : table.cells) {
    std::string line = to_text(cell.point);
    line.resize(widest, ' ');
    for (const Listed& listed : cell.listed) line += ' ' + listed.variant + '=' + cost_text(listed.cost);
    text += line + "\n";
  }
  return text;
}

bool is_for(const TunedTable& table, const DeviceInfo& device) {
  return table.device == device.name &&
         (table.compute_capability == 0 || table.compute_capability == device.compute_capability) &&
         (table.sm_count == 0 || table.sm_count == device.sm_count);
}

bool is_for_same_processor(const TunedTable& table, const DeviceInfo& device) {
  return table.compute_capability != 0 && table.compute_capability == device.compute_capability &&
         table.sm_count != 0 && table.sm_count == device.sm_count;
}

std::string file_name(std::string_view device) {
  std::string name;
  for (char c : device) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    name += upper ? static_cast<char>(c - 'A' + 'a') : kept ? c : '_';
  }
  return name + ".table";
}

}  // namespace normquant::choice
