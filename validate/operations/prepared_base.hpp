// What every operation's prepared problem shares beside its tensors: its variants, by handle.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <normquant/variant.hpp>

#include "kernels/plugin/plugins.hpp"
#include "validate/operations/borrowed_outputs.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/operations/prepared_tensors.hpp"

namespace normquant::validate {

/// `Args` is the operation's argument struct; a derived class fills args_ by the add_ functions.
template <class Args>
class PreparedBase : public PreparedTensors {
 public:
  using PreparedTensors::PreparedTensors;

  std::int64_t algorithmic_bytes() const override { return normquant::algorithmic_bytes(args_); }
  choice::Point point() const override {
    if constexpr (requires(const Args& args) { choice::point_of(args); }) return choice::point_of(args_);
    return {};  // an operation without a table
  }

  VariantHandle find(std::string_view name) const override {
    const DeviceInfo& device = device_.info();
    if (name == "auto" || name == "invariant") {
      return VariantHandle(choose_variant(arguments_for({}), device, name == "invariant"));
    }
    for (const auto* table : {&variants<Args>(device.kind), &plugins::variants<Args>(device.kind)}) {
      const auto row = std::find_if(table->begin(), table->end(), [&](const auto& v) { return v.name == name; });
      if (row != table->end()) return VariantHandle(*row);
    }
    return {};
  }
  std::string why_not(VariantHandle variant) const override {
    if (!variant) return "there is no variant of that name";
    const Variant<Args>& row = variant.row<Args>();
    return row.why_not(row, arguments_for(variant), device_.info());
  }
  std::string device_lacks(VariantHandle variant) const override {
    if (!variant || variant.row<Args>().device_lacks == nullptr) return {};
    const Variant<Args>& row = variant.row<Args>();
    return row.device_lacks(row, device_.info());
  }
  std::int64_t requested_bytes(VariantHandle variant) const override {
    const Variant<Args>& row = variant.row<Args>();
    return row.requested_bytes(row, args_, device_.info());
  }

  Status reserve(VariantHandle variant) override {
    if (!variant) return Status::invalid_argument(why_not(variant));
    const Variant<Args>& row = variant.row<Args>();
    const std::size_t needed = row.workspace_bytes(row, args_, device_.info());
    if (std::string misdeed = plugins::take_misdeed(); !misdeed.empty()) return Status::infrastructure(misdeed);
    return reserve_bytes(needed);
  }
  Status launch(VariantHandle variant, Stream stream) override {
    if (!variant) return Status::invalid_argument(why_not(variant));
    return normquant::launch(variant.row<Args>(), args_, device_.info(), workspace(), stream);
  }
  Status launch_into(PreparedProblem& other, VariantHandle variant, Stream stream) override {
    if (!variant) return Status::invalid_argument(why_not(variant));
    const Args args = with_outputs_of(static_cast<PreparedBase&>(other).args_, args_);
    return normquant::launch(variant.row<Args>(), args, device_.info(), workspace(), stream);
  }

 protected:
  /// What a variant is given; no variant: what one is chosen for.
  virtual Args arguments_for(VariantHandle) const { return args_; }

  /// Checks the contract once everything is set; the sentence goes to `why`.
  bool complete(std::string& why) const {
    why = why_incomplete();
    if (why.empty()) why = check_arguments(args_).message;
    return why.empty();
  }

  Args args_{};
};

std::unique_ptr<PreparedProblem> prepare_norm_quant_forward(const Problem&, Device&, std::int64_t distinct,
                                                            std::string& why);
std::unique_ptr<PreparedProblem> prepare_norm_quant_backward(const Problem&, Device&, std::int64_t distinct,
                                                             std::string& why);
std::unique_ptr<PreparedProblem> prepare_activation_quant(const Problem&, Device&, std::int64_t distinct,
                                                          std::string& why);
std::unique_ptr<PreparedProblem> prepare_weight_quant(const Problem&, Device&, std::int64_t distinct, std::string& why);
std::unique_ptr<PreparedProblem> prepare_bit_linear_forward(const Problem&, Device&, std::int64_t distinct,
                                                            std::string& why);
std::unique_ptr<PreparedProblem> prepare_bit_linear_backward(const Problem&, Device&, std::int64_t distinct,
                                                             std::string& why);

}  // namespace normquant::validate
