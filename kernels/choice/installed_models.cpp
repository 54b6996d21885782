#include "choice/installed_models.hpp"

#include <algorithm>

#include <normquant/variant.hpp>

namespace normquant::choice {

bool find_variants(CostModel& model, std::string& why) {
  for (const Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward}) {
    std::vector<VariantCosts>& all = model.variants[static_cast<std::size_t>(op)];
    with_operation(op, [&]<class Args>(std::type_identity<Args>) {
      if constexpr (!is_layer_arguments<Args>) {
        const std::vector<Variant<Args>>& known = variants<Args>(DeviceKind::host);
        for (VariantCosts& costs : all) {
          const auto found = std::find_if(known.begin(), known.end(),
                                          [&](const auto& variant) { return variant.name == costs.variant; });
          costs.tuning = {};
          if (found != known.end()) {
            costs.place = static_cast<std::size_t>(found - known.begin());
            if (found->deterministic) costs.tuning = plan_tuning(op, found->name, found->tuning);
          } else if (why.empty()) {
            why = std::string(name_of(op)) + " has no variant called " + costs.variant +
                  " in this build; the model is another version's and must be fitted again";
          }
        }
      }
    });
  }
  return why.empty();
}

const CostModel* model_for(const DeviceInfo& device) {
  static const std::vector<CostModel> models = [] {
    std::vector<CostModel> usable;
    for (const std::string_view text : compiled_models()) {
      CostModel model;
      std::string why;
      if (!parse_model(text, model, why) || !find_variants(model, why))
        continue;  // a test sees to it that there is none
      usable.push_back(std::move(model));
    }
    return usable;
  }();
  for (const CostModel& model : models) {
    const bool same = model.device == device.name && model.plan_device.sm_count == device.sm_count;
    if (same && (model.compute_capability == 0 || model.compute_capability == device.compute_capability)) return &model;
  }
  return nullptr;
}

}  // namespace normquant::choice
