#include "validate/devices.hpp"

#include <charconv>
#include <limits>
#include <sstream>

#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::validate {
namespace {

std::optional<int> whole_number(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

std::unique_ptr<Device> DeviceChoice::open(std::uint64_t schedule_seed, std::string& why, DeviceMemory memory) const {
  return kind == DeviceKind::host ? open_host_device(schedule_seed) : open_cuda_device(index, why, memory);
}

DeviceSelection select_devices(std::string_view text, bool require_gpu) {
  DeviceSelection selection;
  const auto stop = [&](int status, std::string sentence) {
    selection.devices.clear();
    selection.exit_status = status;
    selection.why = std::move(sentence);
    return selection;
  };
  int index = 0;
  const bool indexed = text.starts_with("cuda:");
  if (indexed) {
    const std::string_view digits = text.substr(5);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc{} || end != digits.data() + digits.size() || index < 0) {
      return stop(exit_usage, "'" + std::string(text) + "' is not a device; write host, cuda, cuda:I or all");
    }
  } else if (text != "host" && text != "cuda" && text != "all") {
    return stop(exit_usage, "'" + std::string(text) + "' is not a device; write host, cuda, cuda:I or all");
  }

  std::string absent;
  const int gpus = cuda_device_count(absent);
  if (gpus == 0 && require_gpu) return stop(exit_gpu_absent, "a GPU is required and there is none: " + absent);
  const bool wants_gpu = indexed || text == "cuda";
  if (wants_gpu && gpus == 0) return stop(exit_gpu_absent, "there is no GPU to run on: " + absent);
  if (wants_gpu && index >= gpus) {
    return stop(exit_gpu_absent,
                "there is no CUDA device " + std::to_string(index) + "; there are " + std::to_string(gpus));
  }
  if (!wants_gpu) selection.devices.push_back({DeviceKind::host, 0});
  if (wants_gpu) selection.devices.push_back({DeviceKind::cuda, index});
  if (text == "all") {
    for (int i = 0; i < gpus; ++i) selection.devices.push_back({DeviceKind::cuda, i});
    if (gpus == 0) selection.left_out = "no GPU: the kernels run on the host device only (" + absent + ")";
  }
  return selection;
}

std::optional<std::vector<ListedDevice>> listed_devices(const std::string& text, bool require_gpu, Listed listed) {
  std::vector<ListedDevice> list;
  if (text.starts_with("host:")) {
    const std::optional<int> count = whole_number(text.substr(5));
    constexpr int most = 64;
    if (!count || *count < 1 || *count > most) {
      throw Refusal{exit_usage,
                    "'" + text + "' is not a device; write host:K for K host devices side by side, 1 to 64"};
    }
    if (require_gpu) throw Refusal{exit_usage, "--require-gpu and --device " + text + " contradict each other"};
    for (int i = 0; i < *count; ++i) list.push_back({{DeviceKind::host, 0}, "host:" + std::to_string(i)});
    return list;
  }
  if (text != "cuda:all" && (!text.starts_with("cuda:") || text.find(',') == std::string::npos)) return std::nullopt;
  std::string absent;
  const bool any = listed == Listed::as_named && text != "cuda:all";
  const int gpus = any ? std::numeric_limits<int>::max() : cuda_device_count(absent);
  if (gpus == 0) {
    throw Refusal{exit_gpu_absent, "there is no GPU to run on: " + absent};
  }
  if (text == "cuda:all") {
    for (int i = 0; i < gpus; ++i) list.push_back({{DeviceKind::cuda, i}, {}});
    return list;
  }
  std::istringstream indices(text.substr(5));
  for (std::string part; std::getline(indices, part, ',');) {
    const std::optional<int> index = whole_number(part);
    if (!index) throw Refusal{exit_usage, "'" + text + "' is not a list of devices; write cuda:all, or as cuda:0,2"};
    if (*index >= gpus) {
      throw Refusal{exit_gpu_absent, "there is no CUDA device " + part + "; there are " + std::to_string(gpus)};
    }
    for (const ListedDevice& other : list) {
      if (other.choice.index == *index)
        throw Refusal{exit_usage, "'" + text + "' names CUDA device " + part + " twice"};
    }
    list.push_back({{DeviceKind::cuda, *index}, {}});
  }
  return list;
}

}  // namespace normquant::validate
