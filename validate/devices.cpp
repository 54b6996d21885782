#include "validate/devices.hpp"

#include <charconv>

#include "exit_status.hpp"

namespace normquant::validate {

std::unique_ptr<Device> DeviceChoice::open(std::uint64_t schedule_seed, std::string& why) const {
  return kind == DeviceKind::host ? open_host_device(schedule_seed) : open_cuda_device(index, why);
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

}  // namespace normquant::validate
