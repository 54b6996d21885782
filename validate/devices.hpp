// `--device host|cuda|cuda:I|all` as a list of devices to open.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

namespace normquant::validate {

/// A device by name; several threads may open it, each for itself.
struct DeviceChoice {
  DeviceKind kind = DeviceKind::host;
  int index = 0;  ///< of the CUDA device

  std::string name() const { return kind == DeviceKind::host ? "host" : "cuda:" + std::to_string(index); }
  /// Null with a sentence in `why`. `schedule_seed` orders the threads of the host device.
  std::unique_ptr<Device> open(std::uint64_t schedule_seed, std::string& why) const;
};

/// What `--device` and `--require-gpu` mean on this machine.
struct DeviceSelection {
  std::vector<DeviceChoice> devices;
  std::string left_out;  ///< a sentence when `all` found no GPU
  int exit_status = 0;   ///< not 0: stop with this status and the sentence in `why`
  std::string why;
};
DeviceSelection select_devices(std::string_view text, bool require_gpu);

}  // namespace normquant::validate
