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
  switch (op) {
    case Operation::norm_quant_forward: add<NormQuantForward>(asks_, device); break;
    case Operation::norm_quant_backward: add<NormQuantBackward>(asks_, device); break;
    case Operation::activation_quant: add<ActivationQuant>(asks_, device); break;
    case Operation::weight_quant: add<WeightQuant>(asks_, device); break;
    case Operation::bit_linear_forward:
    case Operation::bit_linear_backward: asks_.assign(variants_.size(), [](const Problem&) { return true; }); break;
  }
}

}  // namespace normquant::validate::space
