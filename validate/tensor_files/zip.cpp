#include "validate/tensor_files/zip.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace normquant::tensors {
namespace {

constexpr std::size_t most_entries = 4096;
/// Deflate cannot expand further (zlib.net/zlib_tech.html); a larger claim is a lie.
constexpr std::uint64_t most_expansion = 1032;
/// Of the directory: an entry's record, and three texts of up to 64 KB each.
constexpr std::uint64_t longest_directory = std::uint64_t{64} << 20;
constexpr std::uint32_t saturated = 0xFFFFFFFF;  ///< the true number has 64 bits and stands elsewhere

constexpr std::string_view local_record = "PK\x03\x04", directory_record = "PK\x01\x02", end_record = "PK\x05\x06",
                           end_record_64 = "PK\x06\x06", end_locator_64 = "PK\x06\x07";

/// Little-endian numbers at places of a record.
class Record {
 public:
  explicit Record(std::span<const unsigned char> bytes) : bytes_(bytes) {}
  bool is(std::string_view signature) const {
    return bytes_.size() >= signature.size() && std::memcmp(bytes_.data(), signature.data(), signature.size()) == 0;
  }
  std::uint64_t number(std::size_t place, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = 256 * value + bytes_[place + i];
    return value;
  }
  std::size_t u16(std::size_t place) const { return static_cast<std::size_t>(number(place, 2)); }
  std::uint32_t u32(std::size_t place) const { return static_cast<std::uint32_t>(number(place, 4)); }
  std::uint64_t u64(std::size_t place) const { return number(place, 8); }
  std::string text(std::size_t place, std::size_t size) const {
    return {bytes_.begin() + static_cast<std::ptrdiff_t>(place),
            bytes_.begin() + static_cast<std::ptrdiff_t>(place + size)};
  }

 private:
  std::span<const unsigned char> bytes_;
};

/// Where the directory lies.
struct Extent {
  std::uint64_t place = 0, size = 0;
};

/// From the last record that ends an archive, with its comment whole, and the 64-bit one before it if there is one.
std::optional<Extent> directory_extent(ByteSource& bytes) {
  constexpr std::uint64_t end_size = 22, locator_size = 20, end_size_64 = 56;
  std::vector<unsigned char> tail(std::min<std::uint64_t>(bytes.size(), end_size + 0xFFFF));
  if (tail.size() < end_size || !bytes.read(bytes.size() - tail.size(), tail)) return std::nullopt;
  for (std::size_t at = tail.size() - end_size + 1; at-- > 0;) {
    const Record end{std::span<const unsigned char>(tail).subspan(at)};
    if (!end.is(end_record) || end.u16(20) > tail.size() - at - end_size) continue;
    Extent extent{end.u32(16), end.u32(12)};
    const std::uint64_t place = bytes.size() - tail.size() + at;
    std::uint64_t limit = place;
    std::array<unsigned char, locator_size> locator{};
    if (place >= locator_size && bytes.read(place - locator_size, locator) && Record(locator).is(end_locator_64)) {
      limit = Record(locator).u64(8);
      std::array<unsigned char, end_size_64> wide{};
      if (!bytes.read(limit, wide) || !Record(wide).is(end_record_64)) return std::nullopt;
      extent = {Record(wide).u64(48), Record(wide).u64(40)};
    }
    if (extent.place > limit || extent.size > limit - extent.place) return std::nullopt;
    return extent;
  }
  return std::nullopt;
}

/// Takes the 64-bit numbers of the entry's extra fields for those that are saturated.
bool widen(ZipEntry& entry, const Record& extra, std::size_t size) {
  for (std::size_t at = 0; at + 4 <= size;) {
    const std::size_t id = extra.u16(at), length = extra.u16(at + 2);
    const std::size_t end = at + 4 + length;
    if (end > size) return false;
    at += 4;
    for (std::uint64_t* number : {&entry.size, &entry.packed, &entry.place}) {
      if (id != 1 || *number != saturated) continue;
      if (at + 8 > end) return false;
      *number = extra.u64(at);
      at += 8;
    }
    at = end;
  }
  return true;
}

/// The entry whose record is first in `rest`, which is left behind it.
std::optional<ZipEntry> next_entry(std::span<const unsigned char>& rest) {
  constexpr std::size_t fixed = 46;
  const Record record(rest);
  if (rest.size() < fixed || !record.is(directory_record)) return std::nullopt;
  const std::size_t name = record.u16(28), extra = record.u16(30), comment = record.u16(32);
  if (rest.size() - fixed < name + extra + comment) return std::nullopt;
  ZipEntry entry{record.text(fixed, name),
                 static_cast<unsigned>(record.u16(8)),
                 static_cast<unsigned>(record.u16(10)),
                 record.u32(16),
                 record.u32(20),
                 record.u32(24),
                 record.u32(42)};
  if (!widen(entry, Record(rest.subspan(fixed + name, extra)), extra)) return std::nullopt;
  rest = rest.subspan(fixed + name + extra + comment);
  return entry;
}

/// The compressions that zip archives name and that are not read here (APPNOTE.TXT 4.4.5); empty for those that are.
std::string unread_compression(unsigned method) {
  switch (method) {
    case 0:
    case Z_DEFLATED: return {};
    case 9: return "deflate64";
    case 12: return "bzip2";
    case 14: return "lzma";
    case 93: return "zstd";
    case 95: return "xz";
    default: return fmt::format("method {}", method);
  }
}

/// Where the entry's data begin; nothing when its local header is not the directory's entry.
std::optional<std::uint64_t> data_of(ByteSource& bytes, const ZipEntry& entry) {
  std::array<unsigned char, 30> start{};
  if (!bytes.read(entry.place, start) || !Record(start).is(local_record)) return std::nullopt;
  std::vector<unsigned char> name(Record(start).u16(26));
  if (!bytes.read(entry.place + start.size(), name) || Record(name).text(0, name.size()) != entry.name)
    return std::nullopt;
  const std::uint64_t data = entry.place + start.size() + name.size() + Record(start).u16(28);
  if (data > bytes.size() || entry.packed > bytes.size() - data) return std::nullopt;
  return data;
}

/// zlib's inflate over a part of a ByteSource.
bool inflate_into(ByteSource& bytes, std::uint64_t from, std::uint64_t packed, std::vector<unsigned char>& to) {
  constexpr std::uint64_t chunk = std::uint64_t{1} << 20;
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  std::vector<unsigned char> input(std::min(chunk, packed));
  std::uint64_t written = 0;
  int status = Z_OK;
  // One byte more than the entry claims, so that a longer stream is seen to be one.
  unsigned char beyond = 0;
  while (status == Z_OK) {  // zlib says Z_BUF_ERROR when it can go no further
    if (stream.avail_in == 0 && packed > 0) {
      const std::uint64_t count = std::min(chunk, packed);
      if (!bytes.read(from, std::span(input).first(count))) break;
      from += count;
      packed -= count;
      stream.next_in = input.data();
      stream.avail_in = static_cast<uInt>(count);
    }
    const std::uint64_t left = std::min(chunk, to.size() - written);
    stream.next_out = left > 0 ? to.data() + written : &beyond;
    stream.avail_out = left > 0 ? static_cast<uInt>(left) : 1;
    const uInt room = stream.avail_out;
    status = inflate(&stream, Z_NO_FLUSH);
    written += room - stream.avail_out;
    if (written > to.size()) break;
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END && written == to.size();
}

std::uint32_t checksum_of(std::span<const unsigned char> bytes) {
  return static_cast<std::uint32_t>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

}  // namespace

bool looks_like_zip(ByteSource& bytes) {
  std::array<unsigned char, 4> start{};
  return bytes.read(0, start) && (Record(start).is(local_record) || Record(start).is(end_record));
}

std::optional<std::vector<ZipEntry>> zip_directory(ByteSource& bytes, std::string& why) {
  why = "the zip archive is damaged or was cut off";
  const auto extent = directory_extent(bytes);
  if (!extent) return std::nullopt;
  if (extent->size > longest_directory) {
    why = fmt::format("the zip archive's directory takes {} bytes; up to {} are read", extent->size, longest_directory);
    return std::nullopt;
  }
  std::vector<unsigned char> records(extent->size);
  if (!bytes.read(extent->place, records)) return std::nullopt;
  std::vector<ZipEntry> entries;
  for (std::span<const unsigned char> rest = records; !rest.empty();) {
    auto entry = next_entry(rest);
    if (!entry) return std::nullopt;
    if (entries.size() == most_entries) {
      why = fmt::format("the zip archive has more than {} entries", most_entries);
      return std::nullopt;
    }
    entries.push_back(std::move(*entry));
  }
  why.clear();
  return entries;
}

std::optional<std::vector<unsigned char>> unpacked(ByteSource& bytes, const ZipEntry& entry, std::string& why) {
  if ((entry.flags & 1U) != 0) {
    why = "it is encrypted";
    return std::nullopt;
  }
  if (const std::string method = unread_compression(entry.method); !method.empty()) {
    why = fmt::format(
        "it is compressed with {}, which is not read; numpy.savez and numpy.savez_compressed store or deflate", method);
    return std::nullopt;
  }
  const bool stored = entry.method == 0;
  if (entry.packed > bytes.size() || entry.size / most_expansion > entry.packed ||
      (stored && entry.size != entry.packed)) {
    why = fmt::format("it claims {} bytes from {} compressed ones, which is impossible", entry.size, entry.packed);
    return std::nullopt;
  }
  why = "its compressed bytes are damaged";
  const auto data = data_of(bytes, entry);
  if (!data) return std::nullopt;
  std::vector<unsigned char> to(entry.size);
  const bool whole = stored ? bytes.read(*data, to) : inflate_into(bytes, *data, entry.packed, to);
  if (!whole || checksum_of(to) != entry.checksum) return std::nullopt;
  why.clear();
  return to;
}

}  // namespace normquant::tensors
