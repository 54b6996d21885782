#include "validate/space/served.hpp"

#include "kernels/plugin/plugins.hpp"
#include "validate/lookalike.hpp"

namespace normquant::validate::space {
namespace {

template <class Args>
void add(std::vector<std::function<bool(const Problem&)>>& asks, const DeviceInfo& device) {
  for (const auto* table : {&normquant::variants<Args>(device.kind), &plugins::variants<Args>(device.kind)}) {
    for (const Variant<Args>& variant : *table) {
      asks.emplace_back([&variant, device](const Problem& problem) {
        const Args args = lookalike<Args>(problem);
        return check_arguments(args).ok() && variant.why_not(variant, args, device).empty();
      });
    }
  }
}

}  // namespace

Served::Served(Operation op, const DeviceInfo& device) : variants_(catalogue(op, device.kind)) {
  with_operation(op, [&]<class Args>(std::type_identity<Args>) {
    if constexpr (is_layer_arguments<Args>) {
      asks_.assign(variants_.size(), [](const Problem&) { return true; });
    } else {
      add<Args>(asks_, device);
    }
  });
}

}  // namespace normquant::validate::space
