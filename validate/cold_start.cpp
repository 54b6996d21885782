#include "validate/cold_start.hpp"

#include "validate/shared_memory.hpp"

namespace normquant::validate {

std::unique_ptr<ColdStart> ColdStart::open(Device& device, std::string& why) {
  if (device.info().kind != DeviceKind::cuda) {
    why = "only a GPU starts cold";
    return nullptr;
  }
  std::unique_ptr<ColdStart> cold(new ColdStart(device));
  cold->bytes_ = 2 * device.info().l2_bytes;
  if (cold->bytes_ == 0) return cold;
  cold->memory_ = device.allocate(cold->bytes_, why);
  return cold->memory_ == nullptr ? nullptr : std::move(cold);
}

ColdStart::~ColdStart() {
  if (memory_ != nullptr) device_.release(memory_);
}

Status ColdStart::enqueue() {
  constexpr unsigned char any = 0xff;
  if (memory_ != nullptr) {
    if (Status status = device_.fill_bytes(memory_, any, bytes_); !status.ok()) return status;
  }
  return poison_shared_memory(device_.info());
}

}  // namespace normquant::validate
