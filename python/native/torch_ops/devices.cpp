#include "devices.hpp"

#include <dlfcn.h>

#include <array>
#include <mutex>

namespace normquant::torch_ops {
namespace {

constexpr int most_devices = 64;

/// A device as first used, kept until the process ends.
struct Opened {
  std::unique_ptr<Device> device;
  std::string why_not;
  std::shared_ptr<MatrixProducts> products;
  std::string why_no_products;
};

Opened open(std::unique_ptr<Device> device, std::string why_not) {
  Opened opened;
  opened.device = std::move(device);
  opened.why_not = std::move(why_not);
  if (opened.device) opened.products = open_matrix_products(opened.device->info(), opened.why_no_products);
  return opened;
}

const Opened& host() {
  static const Opened opened = [] {
    aoti_torch_warn(__func__, __FILE__, __LINE__,
                    "normquant: the tensors are on the CPU: the host device computes them by the GPU's own kernels, "
                    "right and slow (said once)");
    return open(open_host_device(), {});
  }();
  return opened;
}

#if defined(NORMQUANT_OLDEST_GPU)
constexpr int oldest_gpu = NORMQUANT_OLDEST_GPU;
#else
constexpr int oldest_gpu = 0;
#endif

Opened open_gpu(int index) {
  std::string why;
  std::unique_ptr<Device> device = open_cuda_device(index, why);
  if (device && device->info().compute_capability < oldest_gpu) {
    why = device->info().name + " has compute capability " + std::to_string(device->info().compute_capability) +
          ", and this build has kernels for " + std::to_string(oldest_gpu) +
          " and later: build it for this GPU (CMAKE_CUDA_ARCHITECTURES)";
    device.reset();
  }
  return open(std::move(device), why);
}

const Opened& gpu(int index) {
  static std::array<std::once_flag, most_devices> once;
  static std::array<Opened, most_devices> opened;
  std::call_once(once[index], [index] { opened[index] = open_gpu(index); });
  return opened[index];
}

const Opened& opened_of(const Location& location) { return location.is_cpu() ? host() : gpu(location.index); }

/// Torch's current stream, asked of libtorch_cuda.so, which a torch without CUDA lacks.
Stream current_stream(std::int32_t index) {
  using Function = AOTITorchError (*)(std::int32_t, void**);
  static const auto function = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr ? nullptr
                              : reinterpret_cast<Function>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  if (function == nullptr) throw std::runtime_error("normquant: this torch has no CUDA streams (libtorch_cuda.so)");
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(function(index, &stream));
  return stream;
}

}  // namespace

Place::Place(const Arguments& arguments) : arguments_(arguments) {
  const Location& location = arguments.location();
  if (!location.is_cpu() && !location.is_cuda()) {
    refuse(arguments.operation(), "the tensors are on " + location.name() + "; CUDA and CPU tensors are computed");
  }
  if (location.is_cuda()) {
    if (location.index < 0 || location.index >= most_devices) {
      refuse(arguments.operation(), "the tensors are on " + location.name() + "; the last GPU served is cuda:63");
    }
    if (torch::stable::accelerator::getCurrentDeviceIndex() != location.index) guard_.emplace(location.index);
  }
  const Opened& opened = opened_of(location);
  if (!opened.device) throw std::runtime_error(std::string(arguments.operation()) + ": " + opened.why_not);
  info_ = &opened.device->info();
  if (location.is_cuda()) {
    stream_ = current_stream(location.index);
  } else {
    check(opened.device->make_current());
  }
}

MatrixProducts* Place::products() const {
  const Opened& opened = opened_of(arguments_.location());
  if (!opened.products) throw std::runtime_error(std::string(arguments_.operation()) + ": " + opened.why_no_products);
  return opened.products.get();
}

void check(const Status& status) {
  if (status.ok()) return;
  if (status.code == StatusCode::infrastructure) throw std::runtime_error(status.message);
  throw std::invalid_argument(status.message);
}

}  // namespace normquant::torch_ops
