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
  int index = 0;  ///< of the CUDA device; any_of_list: one of several, which share the cases

  static constexpr int any_of_list = -1;
  std::string name() const {
    if (kind == DeviceKind::host) return "host";
    return index == any_of_list ? "cuda:all" : "cuda:" + std::to_string(index);
  }
  /// Null with a sentence in `why`. `schedule_seed` orders the threads of the host device.
  std::unique_ptr<Device> open(std::uint64_t schedule_seed, std::string& why,
                               DeviceMemory memory = DeviceMemory::own) const;
};

/// What `--device` and `--require-gpu` mean on this machine.
struct DeviceSelection {
  std::vector<DeviceChoice> devices;
  std::string left_out;  ///< a sentence when `all` found no GPU
  int exit_status = 0;   ///< not 0: stop with this status and the sentence in `why`
  std::string why;
};
DeviceSelection select_devices(std::string_view text, bool require_gpu);

/// One of several devices that share the cases of a run.
struct ListedDevice {
  DeviceChoice choice;
  std::string card;  ///< tells it apart where the device does not: `host:1` of several host devices; else empty
  /// For people, and the --device that means it alone.
  std::string name() const { return card.empty() ? choice.name() : card; }
};

/// Whether GPUs that are named must be there.
enum class Listed { must_be_there, as_named };

/// What `--device` calls them: "cuda:all", "cuda:0,2", or "host:3" for three host devices side by side. Nothing when the text
/// names no list. Throws a Refusal when it is malformed or names a GPU that is not there.
std::optional<std::vector<ListedDevice>> listed_devices(const std::string& text, bool require_gpu,
                                                        Listed listed = Listed::must_be_there);

}  // namespace normquant::validate
