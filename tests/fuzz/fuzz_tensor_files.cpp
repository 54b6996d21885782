// Any bytes as a file of tensors: refused with a sentence, or read as what they say.
#include <cstdlib>

#include "validate/tensor_files/tensor_file.hpp"

using namespace normquant::tensors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string why;
  const auto file = open_tensors(std::make_unique<MemoryBytes>(std::span(data, size)), why);
  if (file == nullptr) {
    if (why.empty()) std::abort();
    return 0;
  }
  for (const std::string& name : file->names()) {
    why.clear();
    const auto tensor = file->read(name, why);
    if (!tensor && why.empty()) std::abort();
    if (tensor && bytes_of(tensor->shape, tensor->element) != tensor->bytes.size()) std::abort();
  }
  return 0;
}
