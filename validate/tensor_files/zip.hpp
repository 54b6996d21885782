// Zip archives, with 64-bit sizes and places (APPNOTE.TXT, pkware.com); entries that are stored or deflated, by zlib.
//
// Debian 12's minizip does not read 64-bit sizes, and its libzip has no static library; so the directory is read here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "validate/tensor_files/bytes.hpp"

namespace normquant::tensors {

struct ZipEntry {
  std::string name;
  unsigned flags = 0, method = 0;
  std::uint32_t checksum = 0;
  std::uint64_t packed = 0, size = 0;  ///< bytes in the archive, and unpacked
  std::uint64_t place = 0;             ///< of its local header
};

/// Whether it begins as an archive does.
bool looks_like_zip(ByteSource& bytes);

/// The archive's directory; nothing, and a sentence in `why`, when it is damaged, cut off or unreasonably long.
std::optional<std::vector<ZipEntry>> zip_directory(ByteSource& bytes, std::string& why);

/// An entry's bytes; nothing, and a sentence in `why`, when they are damaged, encrypted or in a compression that is not read,
/// which is named.
std::optional<std::vector<unsigned char>> unpacked(ByteSource& bytes, const ZipEntry& entry, std::string& why);

}  // namespace normquant::tensors
