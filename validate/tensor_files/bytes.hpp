// Bytes that can be read from any position: a file, or memory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace normquant::tensors {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Fills `to` with the bytes from `offset` on; false when they are not all there.
  virtual bool read(std::uint64_t offset, std::span<unsigned char> to) = 0;
};

/// Bytes that somebody else keeps alive.
class MemoryBytes final : public ByteSource {
 public:
  explicit MemoryBytes(std::span<const unsigned char> bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  bool read(std::uint64_t offset, std::span<unsigned char> to) override;

 private:
  std::span<const unsigned char> bytes_;
};

class FileBytes final : public ByteSource {
 public:
  /// Null with a sentence in `why` when the path names no regular file that can be read.
  static std::unique_ptr<FileBytes> open(const std::string& path, std::string& why);
  ~FileBytes() override;
  std::uint64_t size() const override { return size_; }
  bool read(std::uint64_t offset, std::span<unsigned char> to) override;

 private:
  FileBytes(std::FILE* file, std::uint64_t size) : file_(file), size_(size) {}
  std::FILE* file_;
  std::uint64_t size_;
};

}  // namespace normquant::tensors
