// The host code that launches kernels, as digests of its object files that the build writes into the program.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace normquant::gate {

/// One object file of normquant::kernels or of the layer.
struct ObjectCode {
  std::string name;                  ///< of its source, below kernels/: "norm_quant_forward/one_pass.cu"
  std::string digest;                ///< of its host code and data
  std::vector<std::string> kernels;  ///< that it registers, mangled, without_source_digits; a .cpp has none
};

/// Of the object file whose content is `object`. The digest covers code, constants and relocations of every section that is
/// loaded, but not the GPU's code, which is compared by itself, and not unwind tables. Nothing, and a sentence in
/// `why`, when it is no object file.
std::optional<ObjectCode> object_code_of(std::string_view object, const std::string& name, std::string& why);

/// Those of this build; written by the build (app/launch_code_tool.cpp).
const std::vector<ObjectCode>& launch_code();

}  // namespace normquant::gate
