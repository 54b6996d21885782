// The controls on the first GPU, for compute-sanitizer: `race_controls list`, `race_controls NAME`.
#include <cstdio>
#include <cstring>
#include <vector>

#include "controls.hpp"

using namespace normquant;

namespace {

int fail(const Status& status) {
  std::fprintf(stderr, "race_controls: %s\n", status.message.c_str());
  return 5;
}

int run(const Control& control) {
  std::string why;
  const auto device = open_cuda_device(0, why);
  if (device == nullptr) return fail(Status::infrastructure(why));
  constexpr std::size_t bytes = sizeof(float) * ControlMemory::count,
                        count_bytes = sizeof(unsigned) * ControlMemory::counts;
  const std::vector<float> values(ControlMemory::count, 1.5F);
  void* const in = device->allocate(bytes, why);
  ControlMemory memory;
  memory.in = static_cast<const float*>(in);
  memory.out = static_cast<float*>(device->allocate(bytes, why));
  memory.counters = static_cast<unsigned*>(device->allocate(count_bytes, why));
  if (Status status = device->copy_to_device(in, values.data(), bytes); !status.ok()) return fail(status);
  if (Status status = device->fill_bytes(memory.counters, 0, count_bytes); !status.ok()) return fail(status);
  if (Status status = control.run(memory, nullptr); !status.ok()) return fail(status);
  if (Status status = device->synchronize(); !status.ok()) return fail(status);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& some : {cuda::controls_in_shared_memory(), cuda::controls_in_global_memory(),
                           cuda::controls_of_clusters(), cuda::controls_of_accesses()}) {
    for (const Control& control : some) {
      if (argc == 2 && std::strcmp(argv[1], "list") == 0) {
        std::printf("%.*s\n", static_cast<int>(control.name.size()), control.name.data());
      } else if (argc == 2 && control.name == argv[1]) {
        return run(control);
      }
    }
  }
  if (argc == 2 && std::strcmp(argv[1], "list") == 0) return 0;
  std::fprintf(stderr, "race_controls: needs `list` or the name of a control\n");
  return 2;
}
