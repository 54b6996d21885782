#include "plugin/plugins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <utility>

#include "plugin/arguments.hpp"
#include "plugin/float_mode.hpp"
#include "plugin/loading.hpp"

namespace normquant::plugins {
namespace {

/// A variant of a plugin.
struct Entry {
  Described described;
  std::string file;
  const normquant_variant* loaded;  ///< null where its code is in another process
};

/// By full name. The names and summaries in here are what the rows below point to.
std::map<std::string, Entry, std::less<>>& entries() {
  static std::map<std::string, Entry, std::less<>> all;
  return all;
}

std::vector<Described>& in_order() {
  static std::vector<Described> all;
  return all;
}

const Entry& entry_of(std::string_view name) { return entries().find(name)->second; }

std::string& misdeed() {
  static thread_local std::string sentence;
  return sentence;
}

using Why = std::array<char, 512>;

/// Calls a function of the plugin; what it threw is a failure, and a floating-point mode that it changed is put right and noted.
template <class Call>
auto guarded(std::string_view function, decltype(std::declval<Call>()()) otherwise, const Call& call) {
  const FloatMode before = float_mode();
  auto answer = otherwise;
  std::string threw;
  try {
    answer = call();
  } catch (const std::exception& error) {
    threw = fmt::format(" threw: {}", error.what());
  } catch (...) {
    threw = " threw";
  }
  if (const FloatMode after = float_mode(); after != before) {
    set_float_mode(before);
    misdeed() = fmt::format("its {} changed the floating-point mode: {}", function, mode_difference(before, after));
  } else if (!threw.empty()) {
    misdeed() = fmt::format("its {}{}", function, threw);
  }
  return answer;
}

constexpr std::string_view elsewhere = "its plugin is loaded in another process";

AskElsewhere& elsewhere_answers() {
  static AskElsewhere ask;
  return ask;
}

template <class Struct>
std::string_view bytes_of(const Struct& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string why_not_of(const Entry& entry, const void* args, const normquant_device& device) {
  const normquant_variant& loaded = *entry.loaded;
  if (loaded.why_not == nullptr) return {};
  Why why{};
  const int answer =
      guarded("why_not", 0, [&] { return loaded.why_not(&loaded, args, &device, why.data(), why.size()); });
  if (answer == 0) return {};
  return plain_line(why.data(), why.size(), "does not serve this problem, and its plugin does not say why");
}

template <class Args>
std::string why_not(const Variant<Args>& variant, const Args& args, const DeviceInfo& device) {
  const Entry& entry = entry_of(variant.name);
  if constexpr (requires { args.quantisation; }) {
    if (!entry.described.serves_formats && !args.quantisation.is_usual()) {
      return "has int8 by the row's own scale and the floor 1e-5 only: it does not say serves_formats";
    }
  }
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  if (entry.loaded != nullptr) return why_not_of(entry, &c_args, c_device);
  if (!elsewhere_answers()) return {};
  return elsewhere_answers()(entry.described.name, bytes_of(c_args), bytes_of(c_device));
}

template <class Args>
std::size_t workspace_bytes(const Variant<Args>& variant, const Args& args, const DeviceInfo& device) {
  const Entry& entry = entry_of(variant.name);
  if (entry.loaded == nullptr || entry.loaded->workspace_bytes == nullptr) return 0;
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  const std::size_t bytes = guarded("workspace_bytes", std::size_t{0},
                                    [&] { return entry.loaded->workspace_bytes(entry.loaded, &c_args, &c_device); });
  if (bytes <= NORMQUANT_PLUGIN_MOST_WORKSPACE) return bytes;
  misdeed() = fmt::format("it asks for {} bytes of scratch memory; the most is {} (NORMQUANT_PLUGIN_MOST_WORKSPACE)",
                          bytes, NORMQUANT_PLUGIN_MOST_WORKSPACE);
  return 0;
}

template <class Args>
std::int64_t requested_bytes(const Variant<Args>&, const Args& args, const DeviceInfo&) {
  return algorithmic_bytes(args);
}

template <class Args>
Status launch(const Variant<Args>& variant, const Args& args, const DeviceInfo& device, void* workspace,
              Stream stream) {
  const Entry& entry = entry_of(variant.name);
  if (entry.loaded == nullptr) return Status::infrastructure(std::string(elsewhere));
  if (std::string sentence = take_misdeed(); !sentence.empty()) return Status::infrastructure(std::move(sentence));
  const auto c_args = in_c(args);
  const normquant_device c_device = in_c(device);
  Why why{};
  const int answer = guarded("launch", -1, [&] {
    return entry.loaded->launch(entry.loaded, &c_args, &c_device, workspace, stream, why.data(), why.size());
  });
  if (std::string sentence = take_misdeed(); !sentence.empty()) return Status::infrastructure(std::move(sentence));
  if (answer == 0) return {};
  return Status::infrastructure("its launch failed: " + plain_line(why.data(), why.size(), "it does not say why"));
}

/// The rows of one operation, by device.
template <class Args>
struct Rows {
  std::vector<Variant<Args>> on_host, on_cuda;

  void add(std::string_view name, const Entry& entry) {
    Variant<Args> row;
    row.name = name;
    row.summary = entry.described.summary;
    row.tuning.access_bytes = 0;  // a plugin's own business
    row.deterministic = entry.described.reproducible;
    row.row_invariant = entry.described.row_invariant;
    row.why_not = why_not<Args>;
    row.workspace_bytes = workspace_bytes<Args>;
    row.requested_bytes = requested_bytes<Args>;
    row.launch = launch<Args>;
    if (entry.described.on(DeviceKind::host)) on_host.push_back(row);
    if (entry.described.on(DeviceKind::cuda)) on_cuda.push_back(row);
  }
  const std::vector<Variant<Args>>& of(DeviceKind kind) const { return kind == DeviceKind::host ? on_host : on_cuda; }
};

template <class Args>
Rows<Args>& rows() {
  static Rows<Args> all;
  return all;
}

}  // namespace

bool add(const Described& variant, const std::string& file, const normquant_variant* loaded, std::string& why) {
  const auto [place, added] = entries().emplace(variant.name, Entry{variant, file, loaded});
  if (!added) {
    why = fmt::format("a variant {} has been loaded already", variant.name);
    return false;
  }
  in_order().push_back(variant);
  with_operation(operation_of(variant), [&, &name = place->first, &entry = place->second]<class Args>(
                                            std::type_identity<Args>) { rows<Args>().add(name, entry); });
  return true;
}

template <class Args>
const std::vector<Variant<Args>>& variants(DeviceKind kind) {
  return rows<Args>().of(kind);
}
template const std::vector<Variant<NormQuantForward>>& variants(DeviceKind);
template const std::vector<Variant<NormQuantBackward>>& variants(DeviceKind);
template const std::vector<Variant<ActivationQuant>>& variants(DeviceKind);
template const std::vector<Variant<WeightQuant>>& variants(DeviceKind);
template const std::vector<Variant<BitLinearForward>>& variants(DeviceKind);
template const std::vector<Variant<BitLinearBackward>>& variants(DeviceKind);

void ask_elsewhere(AskElsewhere ask) { elsewhere_answers() = std::move(ask); }

std::string why_not(std::string_view variant, std::string_view args, std::string_view device) {
  const auto found = entries().find(variant);
  if (found == entries().end() || found->second.loaded == nullptr) return "there is no variant of that name";
  normquant_device c_device{};
  std::memcpy(&c_device, device.data(), std::min(device.size(), sizeof c_device));
  // Aligned as the structures are.
  std::vector<std::uint64_t> memory((args.size() + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t));
  std::memcpy(memory.data(), args.data(), args.size());
  return why_not_of(found->second, memory.data(), c_device);
}

const std::vector<Described>& all_described() { return in_order(); }

std::string file_of(std::string_view variant) {
  const auto found = entries().find(variant);
  return found == entries().end() ? std::string{} : found->second.file;
}

bool multiplies_codes(std::string_view variant) {
  const auto found = entries().find(variant);
  return found != entries().end() && found->second.described.multiplies_codes;
}

std::string take_misdeed() { return std::exchange(misdeed(), {}); }

std::string runs_elsewhere(const std::vector<DeviceKind>& kinds) {
  std::map<std::string, bool> here;
  for (const auto& [name, entry] : entries()) {
    bool& one = here.try_emplace(entry.file, false).first->second;
    one =
        one || std::any_of(kinds.begin(), kinds.end(), [&e = entry](DeviceKind kind) { return e.described.on(kind); });
  }
  for (const auto& [file, one] : here) {
    if (one) continue;
    const bool wants_cuda = kinds.empty() || kinds.front() == DeviceKind::host;
    return fmt::format("the plugin {} runs on {} only; give --device {}", file, wants_cuda ? "CUDA" : "the host",
                       wants_cuda ? "cuda" : "host");
  }
  return {};
}

}  // namespace normquant::plugins
