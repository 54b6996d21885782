#include "validate/tensor_files/tensor_file.hpp"

#include <utility>

#include "validate/tensor_files/npy.hpp"
#include "validate/tensor_files/npz.hpp"
#include "validate/tensor_files/safetensors.hpp"
#include "validate/tensor_files/zip.hpp"

namespace normquant::tensors {
namespace {

class Npy final : public TensorFile {
 public:
  explicit Npy(std::unique_ptr<ByteSource> bytes) : bytes_(std::move(bytes)) {}
  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> read(const std::string& name, std::string& why) override {
    if (name.empty()) return read_npy(*bytes_, why);
    why = "a .npy file holds one array without a name";
    return std::nullopt;
  }

 private:
  std::unique_ptr<ByteSource> bytes_;
  std::vector<std::string> names_ = {""};
};

class Npz final : public TensorFile {
 public:
  Npz(std::unique_ptr<ByteSource> bytes, std::vector<std::string> names)
      : bytes_(std::move(bytes)), names_(std::move(names)) {}
  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> read(const std::string& name, std::string& why) override {
    return read_npz(*bytes_, name, why);
  }

 private:
  std::unique_ptr<ByteSource> bytes_;
  std::vector<std::string> names_;
};

class Safetensors final : public TensorFile {
 public:
  Safetensors(std::unique_ptr<ByteSource> bytes, SafetensorsHeader header)
      : bytes_(std::move(bytes)), header_(std::move(header)) {
    for (const auto& [name, entry] : header_) names_.push_back(name);
  }
  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> read(const std::string& name, std::string& why) override {
    const auto found = header_.find(name);
    if (found != header_.end()) return read_safetensors(*bytes_, found->second, why);
    why = "the file has no such tensor";
    return std::nullopt;
  }

 private:
  std::unique_ptr<ByteSource> bytes_;
  SafetensorsHeader header_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<TensorFile> open_tensors(std::unique_ptr<ByteSource> bytes, std::string& why) {
  if (looks_like_npy(*bytes)) return std::make_unique<Npy>(std::move(bytes));
  if (looks_like_zip(*bytes)) {
    auto names = npz_names(*bytes, why);
    if (!names) return nullptr;
    return std::make_unique<Npz>(std::move(bytes), std::move(*names));
  }
  if (looks_like_safetensors(*bytes)) {
    auto header = read_safetensors_header(*bytes, why);
    if (!header) return nullptr;
    return std::make_unique<Safetensors>(std::move(bytes), std::move(*header));
  }
  why = bytes->size() == 0 ? "it is empty" : "it begins neither as .npy, nor as .npz, nor as .safetensors does";
  return nullptr;
}

}  // namespace normquant::tensors
