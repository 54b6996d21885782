// Tensor files: what NumPy and safetensors write is read; what is broken, cut off or hostile is refused with a sentence.
#include <gtest/gtest.h>

#include <cstring>

#include "tensor_bytes.hpp"
#include "validate/tensor_files/npy.hpp"
#include "validate/tensor_files/tensor_file.hpp"

namespace normquant::tensors {
namespace {

using tests::Bytes;

/// Owns what it reads.
class OwnBytes final : public ByteSource {
 public:
  explicit OwnBytes(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  bool read(std::uint64_t offset, std::span<unsigned char> to) override {
    return MemoryBytes({reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size()}).read(offset, to);
  }

 private:
  Bytes bytes_;
};

std::unique_ptr<TensorFile> open(const Bytes& bytes, std::string& why) {
  return open_tensors(std::make_unique<OwnBytes>(bytes), why);
}

std::optional<Tensor> read(const Bytes& bytes, const std::string& name, std::string& why) {
  const auto file = open(bytes, why);
  return file == nullptr ? std::nullopt : file->read(name, why);
}

void expect_refused(const Bytes& bytes, const std::string& name, const std::string& sentence_part) {
  std::string why;
  EXPECT_FALSE(read(bytes, name, why).has_value()) << sentence_part;
  EXPECT_NE(why.find(sentence_part), std::string::npos) << why;
}

const Bytes six_floats(24, '\1');

TEST(Npy, ReadsEveryElementTypeAndShape) {
  const std::pair<const char*, Element> types[] = {{"'<f4'", Element::float32}, {"'<f8'", Element::float64},
                                                   {"'<f2'", Element::float16}, {"'|i1'", Element::int8},
                                                   {"'|u1'", Element::uint8},   {"'<u2'", Element::bits16},
                                                   {"'|V2'", Element::bits16},  {"'bfloat16'", Element::bfloat16},
                                                   {"'<V1'", Element::bits8},   {"'float8_e4m3fn'", Element::fp8_e4m3}};
  for (const auto& [descr, element] : types) {
    std::string why;
    const auto tensor = read(tests::npy(descr, "(2, 3)", Bytes(6 * size_of(element), '\7')), "", why);
    ASSERT_TRUE(tensor.has_value()) << why;
    EXPECT_EQ(tensor->element, element);
    EXPECT_EQ(tensor->shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(tensor->bytes, std::vector<unsigned char>(6 * size_of(element), 7));
  }
  std::string why;
  EXPECT_EQ(read(tests::npy("'<f4'", "(6,)", six_floats), "", why)->shape, std::vector<std::int64_t>{6});
  EXPECT_EQ(read(tests::npy("'<f4'", "()", Bytes(4, 0)), "", why)->elements(), 1);
  EXPECT_EQ(read(tests::npy("'<f4'", "(0, 64)", ""), "", why)->elements(), 0);
  EXPECT_TRUE(read(tests::npy("'<f4'", "(6,)", six_floats, "True"), "", why).has_value())
      << "one dimension has no order";
}

TEST(Npy, ReadsEverySpellingOfNumPy) {
  const std::pair<const char*, Element> types[] = {
      {"'f4'", Element::float32},      {"'=f4'", Element::float32},   {"'|f4'", Element::float32},
      {"'float32'", Element::float32}, {"'f'", Element::float32},     {"u'<f4'", Element::float32},
      {"'i1'", Element::int8},         {"'<i1'", Element::int8},      {"'>i1'", Element::int8},
      {"'b'", Element::int8},          {"'int8'", Element::int8},     {"'=u1'", Element::uint8},
      {"'B'", Element::uint8},         {"'e'", Element::float16},     {"'half'", Element::float16},
      {"'d'", Element::float64},       {"'float'", Element::float64}, {"'V2'", Element::bits16},
      {"'>V2'", Element::bits16},      {"'uint16'", Element::bits16}, {"'h'", Element::bits16}};
  for (const auto& [descr, element] : types) {
    std::string why;
    const auto tensor = read(tests::npy(descr, "(2, 3)", Bytes(6 * size_of(element), '\7')), "", why);
    ASSERT_TRUE(tensor.has_value()) << descr << ": " << why;
    EXPECT_EQ(tensor->element, element) << descr;
  }
}

TEST(Npy, TurnsBigEndianElementsRound) {
  std::string why;
  const auto floats = read(tests::npy("'>f4'", "(2,)", Bytes("\x3F\x80\0\0\xC0\0\0\0", 8)), "", why);
  ASSERT_TRUE(floats.has_value()) << why;
  EXPECT_EQ(floats->bytes, (std::vector<unsigned char>{0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}));
  for (const char* descr : {"'>f2'", "'>i2'", "'>u2'"}) {
    EXPECT_EQ(read(tests::npy(descr, "(1,)", "\1\2"), "", why)->bytes, (std::vector<unsigned char>{2, 1})) << descr;
  }
  EXPECT_EQ(read(tests::npy("'>f8'", "(1,)", "\1\2\3\4\5\6\7\x08"), "", why)->bytes,
            (std::vector<unsigned char>{8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(read(tests::npy("'>V2'", "(1,)", "\1\2"), "", why)->bytes, (std::vector<unsigned char>{1, 2}))
      << "raw bytes have no order";
}

TEST(Npy, ReadsColumnsFirst) {
  std::string why;
  const auto two = read(tests::npy("'|i1'", "(2, 3)", "\1\4\2\5\3\6", "True"), "", why);
  ASSERT_TRUE(two.has_value()) << why;
  EXPECT_EQ(two->bytes, (std::vector<unsigned char>{1, 2, 3, 4, 5, 6}));
  const auto three = read(tests::npy("'|i1'", "(2, 2, 2)", "\1\5\3\7\2\6\4\x08", "True"), "", why);
  ASSERT_TRUE(three.has_value()) << why;
  EXPECT_EQ(three->bytes, (std::vector<unsigned char>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(read(tests::npy("'|i1'", "(1, 6)", "\1\2\3\4\5\6", "True"), "", why)->bytes, two->bytes);
  EXPECT_EQ(read(tests::npy("'|i1'", "(0, 6)", "", "True"), "", why)->elements(), 0);
}

TEST(Npy, ReadsTheShapesOfPythonTwoAndWhatPythonAllows) {
  std::string why;
  EXPECT_EQ(read(tests::npy("'<f4'", "(2L, 3L)", six_floats), "", why)->shape, (std::vector<std::int64_t>{2, 3}))
      << why;
  EXPECT_EQ(read(tests::npy("'<f4'", "(2,3,)", six_floats), "", why)->shape, (std::vector<std::int64_t>{2, 3})) << why;
  expect_refused(tests::npy("'<f4'", "(6)", six_floats), "", "header");  // a number
  expect_refused(tests::npy("'<f4'", "(2 3)", six_floats), "", "header");
  expect_refused(tests::npy("'<f4'", "[2, 3]", six_floats), "", "header");
  expect_refused(tests::npy("'<f4'", "(02, 3)", six_floats), "", "header");
  expect_refused(tests::npy("'<f4'", "(6,), 'shape': (6,)", six_floats), "", "header");
  Bytes third = tests::npy("'<f4'", "(2L, 3L)", six_floats);  // version 3 came after Python 2
  third[6] = 3;
  third.insert(10, 2, '\0');
  expect_refused(third, "", "header");
}

TEST(Npy, SaysWhatLiesBehindTheArray) {
  std::string why;
  const auto tensor = read(tests::npy("'<f4'", "(2, 3)", six_floats) + "more", "", why);
  ASSERT_TRUE(tensor.has_value()) << why;
  EXPECT_EQ(tensor->left_over, 4U);
  EXPECT_EQ(tensor->bytes.size(), 24U);
}

TEST(Npy, RefusesWhatItCannotMean) {
  expect_refused(tests::npy("'<c8'", "(3,)", six_floats), "", "'<c8'");
  expect_refused(tests::npy("'|O'", "(3,)", six_floats), "", "'|O'");
  expect_refused(tests::npy("[('a', '<f4')]", "(6,)", six_floats), "", "header");
}

TEST(Npy, RefusesBrokenAndHostileFiles) {
  const Bytes whole = tests::npy("'<f4'", "(2, 3)", six_floats);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::string why;
    EXPECT_FALSE(read(whole.substr(0, length), "", why).has_value()) << length;
    EXPECT_FALSE(why.empty()) << length;
  }
  expect_refused(whole.substr(0, whole.size() - 1), "", "cut off");
  expect_refused(tests::npy("'<f4'", "(4611686018427387904, 4)", six_floats), "", "impossible");
  expect_refused(tests::npy("'<f4'", "(9223372036854775807, 9223372036854775807, 0)", ""), "", "impossible");
  expect_refused(tests::npy("'<f4'", "(99999999999999999999,)", ""), "", "header");
  expect_refused(tests::npy("'<f4'", "(-1, -6)", six_floats), "", "impossible");
  expect_refused(tests::npy("'<f4'", "(1000000, 1000000)", six_floats), "", "takes 4000000000000 bytes");
  expect_refused(Bytes("\x93NUMPY\x09\0\x10\0", 10) + Bytes(64, ' '), "", "version");
  expect_refused(Bytes("\x93NUMPY\x02\0\xFF\xFF\xFF\xFF", 12), "", "claims");
}

const std::string two_tensors =
    R"({"__metadata__":{"format":"pt"},"x":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("rstd":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}})";

TEST(Safetensors, ReadsTensorsByName) {
  std::string why;
  const auto file = open(tests::safetensors(two_tensors, Bytes(12, '\2') + Bytes(12, '\3')), why);
  ASSERT_NE(file, nullptr) << why;
  EXPECT_EQ(file->names(), (std::vector<std::string>{"rstd", "x"}));
  const auto x = file->read("x", why);
  ASSERT_TRUE(x.has_value()) << why;
  EXPECT_EQ(x->element, Element::bfloat16);
  EXPECT_EQ(x->bytes, std::vector<unsigned char>(12, 2));
  EXPECT_EQ(file->read("rstd", why)->bytes, std::vector<unsigned char>(12, 3));
  EXPECT_FALSE(file->read("y", why).has_value());
}

TEST(Safetensors, RefusesBrokenAndHostileFiles) {
  const Bytes whole = tests::safetensors(two_tensors, six_floats);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::string why;
    EXPECT_FALSE(read(whole.substr(0, length), "rstd", why).has_value()) << length;
    EXPECT_FALSE(why.empty()) << length;
  }
  const auto entry = [](const std::string& text) { return tests::safetensors("{\"x\":" + text + "}", six_floats); };
  expect_refused(entry(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,25]})"), "x", "within the 24 bytes");
  expect_refused(entry(R"({"dtype":"F32","shape":[2,3],"data_offsets":[24,0]})"), "x", "needs a dtype");
  expect_refused(entry(R"({"dtype":"F32","shape":[2,3],"data_offsets":[-4,20]})"), "x", "needs a dtype");
  expect_refused(entry(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,24,24]})"), "x", "needs a dtype");
  expect_refused(entry(R"({"dtype":"F32","shape":[2,4],"data_offsets":[0,24]})"), "x", "takes 256 bits");
  expect_refused(entry(R"({"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,24]})"), "x",
                 "more than any");
  expect_refused(entry(R"({"dtype":"F32","shape":[1e3],"data_offsets":[0,24]})"), "x", "needs a dtype");
  expect_refused(entry(R"({"dtype":"F8_E5M2","shape":[24],"data_offsets":[0,24]})"), "x", "F8_E5M2");
  expect_refused(entry("[]"), "x", "needs a dtype");
  expect_refused(entry("1"), "x", "needs a dtype");
  expect_refused(tests::safetensors("{" + std::string(100000, '['), ""), "x", "not a JSON object");
  expect_refused(tests::little_endian(~0ULL, 8) + "{", "x", "claims");
}

TEST(Safetensors, RefusesWhatItsAuthorsRefuse) {
  const auto file = [](const std::string& header) { return tests::safetensors(header, six_floats); };
  const std::string x = R"("x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]})",
                    y = R"("y":{"dtype":"F32","shape":[3],"data_offsets":[12,24]})";
  std::string why;
  EXPECT_TRUE(read(file("{" + x + "," + y + "}  "), "x", why).has_value()) << why;
  EXPECT_TRUE(read(file("{" + y + "," + x + R"(,"z":{"shape":[0],"dtype":"I64","data_offsets":[24,24]}})"), "y", why))
      << why;
  expect_refused(file("{" + x + "," + y + "," + y + "}"), "x", "names 'y' twice");
  expect_refused(file("{" + x + R"(,"y":{"dtype":"F32","dtype":"F32","shape":[3],"data_offsets":[12,24]}})"), "x",
                 "two fields 'dtype'");
  expect_refused(file("{" + x + R"(,"y":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})"), "x", "overlaps");
  expect_refused(file("{" + x + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}})"), "x", "gap");
  expect_refused(file(R"({"y":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}})"), "y", "gap");
  expect_refused(file("{" + x + "}"), "x", "12 bytes lie behind");
  expect_refused(file("{" + x + R"(,"y":{"dtype":"F31","shape":[3],"data_offsets":[12,24]}})"), "x", "'F31'");
  expect_refused(file("{" + x + "," + y + R"(,"__metadata__":{"a":1}})"), "x", "not a JSON object");
  expect_refused(file("{" + x + "," + y + R"(,"__metadata__":{},"__metadata__":{}})"), "x", "twice");
  EXPECT_TRUE(
      read(file("{" + x + R"(,"y":{"dtype":"F32","shape":[3],"data_offsets":[12,24],"z":[{"a":[1]}]}})"), "y", why))
      << why;  // fields that nobody knows are skipped
  const auto deep = [&](std::size_t brackets) {
    return file("{" + x + R"(,"y":{"dtype":"F32","shape":[3],"data_offsets":[12,24],"z":)" + Bytes(brackets, '[') +
                Bytes(brackets, ']') + "}}");
  };
  EXPECT_TRUE(read(deep(125), "y", why)) << why;
  for (const std::size_t brackets : {126, 100000}) expect_refused(deep(brackets), "y", "brackets more than 127 deep");
}

TEST(Npz, ReadsArraysByName) {
  const Bytes archive = tests::zip({{"x.npy", tests::npy("'<f4'", "(2, 3)", six_floats)},
                                    {"readme.txt", "hello"},
                                    {"out.npy", tests::npy("'|i1'", "(2, 3)", Bytes(6, '\5'))}});
  std::string why;
  const auto file = open(archive, why);
  ASSERT_NE(file, nullptr) << why;
  EXPECT_EQ(file->names(), (std::vector<std::string>{"x", "out"}));
  EXPECT_EQ(file->read("out", why)->bytes, std::vector<unsigned char>(6, 5));
  EXPECT_FALSE(file->read("y", why).has_value());
  EXPECT_FALSE(why.empty());
}

TEST(Npz, RefusesBrokenAndHostileFiles) {
  const Bytes whole = tests::zip({{"x.npy", tests::npy("'<f4'", "(2, 3)", six_floats)}});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::string why;
    EXPECT_FALSE(read(whole.substr(0, length), "x", why).has_value()) << length;
    EXPECT_FALSE(why.empty()) << length;
  }
  Bytes flipped = whole;
  flipped[35 + 120] = static_cast<char>(flipped[35 + 120] ^ 1);  // in the array: the checksum notices
  expect_refused(flipped, "x", "damaged");
  Bytes bomb = whole;  // the directory claims 4 GB
  const std::size_t directory = bomb.rfind("PK\x01\x02");
  std::memset(bomb.data() + directory + 24, 0xFE, 4);
  expect_refused(bomb, "x", "impossible");
  expect_refused(tests::zip({{"archive/data.pkl", "torch.save wrote this"}}), "x", "torch.save");
  expect_refused(tests::zip({}), "x", "zip archive");
}

TEST(Npz, RefusesTwoArraysOfOneName) {
  const Bytes array = tests::npy("'<f4'", "(2, 3)", six_floats);
  expect_refused(tests::zip({{"x.npy", array}, {"x.npy", array}}), "x", "two arrays called 'x'");
}

TEST(Npz, NamesTheCompressionThatItDoesNotRead) {
  for (const auto& [method, name] : {std::pair(12, "bzip2"), std::pair(14, "lzma"), std::pair(93, "zstd")}) {
    Bytes archive = tests::zip({{"x.npy", tests::npy("'<f4'", "(2, 3)", six_floats)}});
    archive[8] = static_cast<char>(method);                                 // the local header
    archive[archive.rfind("PK\x01\x02") + 10] = static_cast<char>(method);  // the directory
    expect_refused(archive, "x", std::string("compressed with ") + name);
  }
}

/// An archive whose first entry is `hole` bytes of a file that holds no data there; then x. All places are 64-bit ones.
class SparseArchive final : public ByteSource {
 public:
  explicit SparseArchive(std::uint64_t hole) {
    const Bytes array = tests::npy("'<f4'", "(2, 3)", six_floats);
    front_ = local("hole.npy", hole, 0);
    hole_ = hole;
    const std::uint64_t second = front_.size() + hole;
    back_ = local("x.npy", array.size(), tests::crc32_of(array)) + array;
    const std::uint64_t directory = second + back_.size();
    const Bytes entries =
        central("hole.npy", hole, 0, 0) + central("x.npy", array.size(), tests::crc32_of(array), second);
    const std::uint64_t end = directory + entries.size();
    using tests::little_endian;
    back_ += entries + Bytes("PK\x06\x06", 4) + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) +
             little_endian(0, 4) + little_endian(0, 4) + little_endian(2, 8) + little_endian(2, 8) +
             little_endian(entries.size(), 8) + little_endian(directory, 8) + Bytes("PK\x06\x07", 4) +
             little_endian(0, 4) + little_endian(end, 8) + little_endian(1, 4) + Bytes("PK\x05\x06", 4) +
             little_endian(0, 4) + little_endian(0xFFFF, 2) + little_endian(0xFFFF, 2) + little_endian(0xFFFFFFFF, 4) +
             little_endian(0xFFFFFFFF, 4) + little_endian(0, 2);
  }
  std::uint64_t size() const override { return front_.size() + hole_ + back_.size(); }
  bool read(std::uint64_t offset, std::span<unsigned char> to) override {
    if (offset > size() || to.size() > size() - offset) return false;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<unsigned char>(at(offset + i));
    return true;
  }

 private:
  char at(std::uint64_t place) const {
    if (place < front_.size()) return front_[place];
    return place < front_.size() + hole_ ? '\0' : back_[place - front_.size() - hole_];
  }
  static Bytes sizes(std::uint64_t crc) {
    return tests::little_endian(45, 2) + Bytes(8, '\0') + tests::little_endian(crc, 4) + Bytes(8, '\xFF');
  }
  static Bytes local(const Bytes& name, std::uint64_t size, std::uint64_t crc) {
    using tests::little_endian;
    return Bytes("PK\x03\x04", 4) + sizes(crc) + little_endian(name.size(), 2) + little_endian(20, 2) + name +
           little_endian(1, 2) + little_endian(16, 2) + little_endian(size, 8) + little_endian(size, 8);
  }
  static Bytes central(const Bytes& name, std::uint64_t size, std::uint64_t crc, std::uint64_t place) {
    using tests::little_endian;
    return Bytes("PK\x01\x02", 4) + little_endian(45, 2) + sizes(crc) + little_endian(name.size(), 2) +
           little_endian(28, 2) + little_endian(0, 2) + little_endian(0, 2) + little_endian(0, 2) +
           little_endian(0, 4) + little_endian(0xFFFFFFFF, 4) + name + little_endian(1, 2) + little_endian(24, 2) +
           little_endian(size, 8) + little_endian(size, 8) + little_endian(place, 8);
  }

  Bytes front_, back_;
  std::uint64_t hole_ = 0;
};

TEST(Npz, ReadsArchivesOverTwoAndFourGigabytes) {
  for (const std::uint64_t hole : {std::uint64_t{3} << 30, std::uint64_t{9} << 30}) {
    std::string why;
    const auto file = open_tensors(std::make_unique<SparseArchive>(hole), why);
    ASSERT_NE(file, nullptr) << why;
    EXPECT_EQ(file->names(), (std::vector<std::string>{"hole", "x"}));
    const auto x = file->read("x", why);
    ASSERT_TRUE(x.has_value()) << why;
    EXPECT_EQ(x->bytes, std::vector<unsigned char>(24, 1));
  }
}

TEST(TensorFile, OtherFilesAreRefused) {
  for (const Bytes& bytes : {Bytes(), Bytes("hello"), Bytes(1000, '\0'), Bytes("\x89PNG\r\n\x1a\n")}) {
    std::string why;
    EXPECT_EQ(open(bytes, why), nullptr);
    EXPECT_FALSE(why.empty());
  }
}

}  // namespace
}  // namespace normquant::tensors
