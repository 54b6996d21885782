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
                                                   {"'|V2'", Element::bits16},  {"'bfloat16'", Element::bfloat16}};
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

TEST(Npy, RefusesWhatItCannotMean) {
  expect_refused(tests::npy("'<f4'", "(2, 3)", six_floats, "True"), "", "column by column");
  expect_refused(tests::npy("'>f4'", "(2, 3)", six_floats), "", "'>f4'");
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
  expect_refused(whole + "x", "", "holds 25");
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
  expect_refused(entry(R"({"dtype":"F32","shape":[2,4],"data_offsets":[0,24]})"), "x", "takes 32 bytes");
  expect_refused(entry(R"({"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,24]})"), "x",
                 "more than any");
  expect_refused(entry(R"({"dtype":"F32","shape":[1e3],"data_offsets":[0,24]})"), "x", "needs a dtype");
  expect_refused(entry(R"({"dtype":"F8_E4M3","shape":[24],"data_offsets":[0,24]})"), "x", "F8_E4M3");
  expect_refused(entry("[]"), "x", "needs a dtype");
  expect_refused(entry("1"), "x", "needs a dtype");
  expect_refused(tests::safetensors("{" + std::string(100000, '['), ""), "x", "not a JSON object");
  expect_refused(tests::little_endian(~0ULL, 8) + "{", "x", "claims");
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

TEST(TensorFile, OtherFilesAreRefused) {
  for (const Bytes& bytes : {Bytes(), Bytes("hello"), Bytes(1000, '\0'), Bytes("\x89PNG\r\n\x1a\n")}) {
    std::string why;
    EXPECT_EQ(open(bytes, why), nullptr);
    EXPECT_FALSE(why.empty());
  }
}

}  // namespace
}  // namespace normquant::tensors
