#include "validate/tensor_files/npz.hpp"

#include <fmt/format.h>
#include <minizip/unzip.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "validate/tensor_files/npy.hpp"

namespace normquant::tensors {
namespace {

constexpr std::size_t most_entries = 4096;
/// Deflate cannot expand further (zlib.net/zlib_tech.html); a larger claim is a lie.
constexpr std::uint64_t most_expansion = 1032;
constexpr std::string_view suffix = ".npy";

/// minizip's view of a ByteSource.
struct Stream {
  ByteSource* bytes;
  std::uint64_t position;
};

voidpf open_stream(voidpf opaque, const void*, int) { return opaque; }

uLong read_stream(voidpf, voidpf stream, void* to, uLong size) {
  auto& s = *static_cast<Stream*>(stream);
  const std::uint64_t left = s.bytes->size() - std::min(s.position, s.bytes->size());
  const std::uint64_t count = std::min<std::uint64_t>(size, left);
  if (!s.bytes->read(s.position, {static_cast<unsigned char*>(to), count})) return 0;
  s.position += count;
  return static_cast<uLong>(count);
}

uLong write_nothing(voidpf, voidpf, const void*, uLong) { return 0; }

ZPOS64_T tell_stream(voidpf, voidpf stream) { return static_cast<Stream*>(stream)->position; }

long seek_stream(voidpf, voidpf stream, ZPOS64_T offset, int origin) {
  auto& s = *static_cast<Stream*>(stream);
  const std::uint64_t from = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                             : origin == ZLIB_FILEFUNC_SEEK_CUR ? s.position
                                                                : s.bytes->size();
  if (offset > s.bytes->size() || from > s.bytes->size() - offset) return -1;
  s.position = from + offset;
  return 0;
}

int close_stream(voidpf, voidpf) { return 0; }
int no_error(voidpf, voidpf) { return 0; }

/// An open archive.
class Archive {
 public:
  explicit Archive(ByteSource& bytes) : stream_{&bytes, 0} {
    zlib_filefunc64_def functions{open_stream, read_stream,  write_nothing, tell_stream,
                                  seek_stream, close_stream, no_error,      &stream_};
    zip_ = unzOpen2_64("", &functions);
  }
  ~Archive() {
    if (zip_ != nullptr) unzClose(zip_);
  }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  unzFile get() const { return zip_; }
  std::uint64_t file_size() const { return stream_.bytes->size(); }
  /// Whether the record that ends an archive, with its comment, is there to the last byte: minizip takes less.
  bool ends_whole(std::uint64_t comment) const {
    constexpr std::uint64_t record = 22;
    std::array<unsigned char, 4> start{};
    const std::uint64_t size = file_size();
    return size >= record + comment && stream_.bytes->read(size - record - comment, start) && start[0] == 'P' &&
           start[1] == 'K' && start[2] == 5 && start[3] == 6;
  }

 private:
  Stream stream_;
  unzFile zip_ = nullptr;
};

struct Entry {
  std::string name;
  unz_file_info64 info{};
};

std::optional<Entry> current_entry(const Archive& archive) {
  Entry entry;
  std::array<char, 512> name{};
  if (unzGetCurrentFileInfo64(archive.get(), &entry.info, name.data(), name.size() - 1, nullptr, 0, nullptr, 0) !=
      UNZ_OK) {
    return std::nullopt;
  }
  entry.name = name.data();
  return entry;
}

/// Calls `visit(entry)` for each entry until it answers true; false, and `why` filled, when the archive is broken.
template <class Visit>
bool walk(const Archive& archive, Visit visit, std::string& why) {
  why = "the zip archive is damaged or was cut off";
  if (archive.get() == nullptr) return false;
  unz_global_info64 directory{};
  if (unzGetGlobalInfo64(archive.get(), &directory) != UNZ_OK || !archive.ends_whole(directory.size_comment))
    return false;
  int status = directory.number_entry == 0 ? UNZ_END_OF_LIST_OF_FILE : unzGoToFirstFile(archive.get());
  for (std::size_t count = 0; status == UNZ_OK; ++count) {
    if (count == most_entries) {
      why = fmt::format("the zip archive has more than {} entries", most_entries);
      return false;
    }
    const auto entry = current_entry(archive);
    if (!entry) return false;
    if (visit(*entry)) break;
    status = unzGoToNextFile(archive.get());
  }
  if (status != UNZ_OK && status != UNZ_END_OF_LIST_OF_FILE) return false;
  why.clear();
  return true;
}

/// The bytes of the current entry.
std::optional<std::vector<unsigned char>> inflated(const Archive& archive, const Entry& entry, std::string& why) {
  const std::uint64_t size = entry.info.uncompressed_size, packed = entry.info.compressed_size;
  if ((entry.info.flag & 1U) != 0) {
    why = "it is encrypted";
    return std::nullopt;
  }
  if (packed > archive.file_size() || size / most_expansion > packed) {
    why = fmt::format("it claims {} bytes from {} compressed ones, which is impossible", size, packed);
    return std::nullopt;
  }
  why = "its compressed bytes are damaged";
  if (unzOpenCurrentFile(archive.get()) != UNZ_OK) return std::nullopt;
  std::vector<unsigned char> bytes(size);
  constexpr std::uint64_t chunk = std::uint64_t{1} << 30;
  std::uint64_t done = 0;
  while (done < size) {
    const auto wanted = static_cast<unsigned>(std::min(chunk, size - done));
    const int count = unzReadCurrentFile(archive.get(), bytes.data() + done, wanted);
    if (count <= 0) break;
    done += static_cast<std::uint64_t>(count);
  }
  const bool intact = unzCloseCurrentFile(archive.get()) == UNZ_OK;  // compares the checksum
  if (done != size || !intact) return std::nullopt;
  why.clear();
  return bytes;
}

}  // namespace

bool looks_like_zip(ByteSource& bytes) {
  std::array<unsigned char, 4> start{};
  return bytes.read(0, start) && start[0] == 'P' && start[1] == 'K' &&
         ((start[2] == 3 && start[3] == 4) || (start[2] == 5 && start[3] == 6));
}

std::optional<std::vector<std::string>> npz_names(ByteSource& bytes, std::string& why) {
  std::vector<std::string> names;
  const Archive archive(bytes);
  const auto visit = [&](const Entry& entry) {
    if (entry.name.ends_with(suffix)) names.push_back(entry.name.substr(0, entry.name.size() - suffix.size()));
    return false;
  };
  if (!walk(archive, visit, why)) return std::nullopt;
  if (!names.empty()) return names;
  why = "the zip archive holds no .npy array; what torch.save writes is not read, save with safetensors or numpy.savez";
  return std::nullopt;
}

std::optional<Tensor> read_npz(ByteSource& bytes, const std::string& name, std::string& why) {
  const Archive archive(bytes);
  std::optional<Entry> found;
  const auto visit = [&](const Entry& entry) {
    if (entry.name == name + std::string(suffix)) found = entry;
    return found.has_value();
  };
  if (!walk(archive, visit, why)) return std::nullopt;
  if (!found) {
    why = "the archive has no such array";
    return std::nullopt;
  }
  const auto array = inflated(archive, *found, why);
  if (!array) return std::nullopt;
  MemoryBytes memory(*array);
  return read_npy(memory, why);
}

}  // namespace normquant::tensors
