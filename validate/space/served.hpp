// Which variants serve a problem, asked before there is memory for it: the suites are planned with this.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include <normquant/device.hpp>

#include "validate/operations/prepared_problem.hpp"
#include "validate/problem.hpp"

namespace normquant::validate::space {

/// The variants of an operation on a device. Tensors lie against a 256-byte boundary as prepare() puts them, at addresses that
/// nobody may use. Of the layer every variant counts as serving: what it serves depends on the library of products.
class Served {
 public:
  Served(Operation op, const DeviceInfo& device);

  /// As catalogue() has them.
  const std::vector<VariantEntry>& variants() const { return variants_; }
  bool by(std::size_t variant, const Problem& problem) const { return asks_[variant](problem); }

 private:
  std::vector<VariantEntry> variants_;
  std::vector<std::function<bool(const Problem&)>> asks_;
};

}  // namespace normquant::validate::space
