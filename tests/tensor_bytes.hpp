// Tensor files as bytes, as other programs write them.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace normquant::tests {

using Bytes = std::string;

inline Bytes little_endian(std::uint64_t value, int bytes) {
  Bytes text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

/// A .npy array as NumPy's version 1.0 writes it: header padded so that the data starts at a multiple of 64.
inline Bytes npy(const std::string& descr, const std::string& shape, const Bytes& data,
                 const std::string& fortran = "False") {
  std::string header = "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
  header += std::string(63 - (10 + header.size()) % 64, ' ') + "\n";
  return Bytes("\x93NUMPY\x01\0", 8) + little_endian(header.size(), 2) + header + data;
}

/// A .safetensors file of that header.
inline Bytes safetensors(const std::string& header, const Bytes& data) {
  return little_endian(header.size(), 8) + header + data;
}

inline std::uint32_t crc32_of(const Bytes& data) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (unsigned char byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
  }
  return ~crc;
}

/// A zip archive whose entries are stored, as numpy.savez writes it.
inline Bytes zip(const std::vector<std::pair<std::string, Bytes>>& entries) {
  Bytes archive, directory;
  for (const auto& [name, data] : entries) {
    const Bytes common = little_endian(20, 2) + little_endian(0, 2) + little_endian(0, 2) + little_endian(0, 4) +
                         little_endian(crc32_of(data), 4) + little_endian(data.size(), 4) +
                         little_endian(data.size(), 4) + little_endian(name.size(), 2) + little_endian(0, 2);
    directory += Bytes("PK\x01\x02\x14\0", 6) + common + little_endian(0, 2) + little_endian(0, 2) +
                 little_endian(0, 2) + little_endian(0, 4) + little_endian(archive.size(), 4) + name;
    archive += Bytes("PK\x03\x04", 4) + common + name + data;
  }
  const Bytes end = Bytes("PK\x05\x06\0\0\0\0", 8) + little_endian(entries.size(), 2) +
                    little_endian(entries.size(), 2) + little_endian(directory.size(), 4) +
                    little_endian(archive.size(), 4) + little_endian(0, 2);
  return archive + directory + end;
}

inline void write_file(const std::string& path, const Bytes& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

}  // namespace normquant::tests
