// The model of costs: what its file may say, what it ranks, that a choice takes no memory and a few microseconds at most, and the
// models of this repository.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <normquant/norm_quant_forward.hpp>

#include "kernels/choice/installed_models.hpp"
#include "kernels/choice/installed_tables.hpp"

namespace {
std::size_t allocations = 0;
}  // namespace

// Not inlined: gcc would take the pairs apart and find them mismatched.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace normquant::choice {
namespace {

const std::string head = "device somewhere\nsm_count 132\nresident_clusters 66 32 15 7\n";

std::string refusal(const std::string& text) {
  CostModel model;
  std::string why;
  return parse_model(text, model, why) ? "" : why;
}

Point forward(std::int64_t rows, std::int64_t columns, Form form = form_rms | form_out) {
  return {Operation::norm_quant_forward, DType::bfloat16, form, columns % 8 == 0, rows, columns};
}

CostModel model_of(const std::string& lines) {
  CostModel model;
  std::string why;
  EXPECT_TRUE(parse_model(head + lines, model, why)) << why;
  EXPECT_TRUE(find_variants(model, why)) << why;
  return model;
}

std::vector<std::string_view> ranked(const CostModel& model, const Point& point) {
  const CostRanking ranking = rank(model, point);
  const auto names = variant_names(point.op);
  std::vector<std::string_view> result;
  for (std::size_t i = 0; i < ranking.count; ++i) result.push_back(names[ranking.places[i]]);
  return result;
}

using Names = std::vector<std::string_view>;
const std::string two_variants =
    "norm_quant_forward one_pass_e8 all most_threads=1024 warps=64\n"
    "norm_quant_forward one_pass_e16 all most_threads=1024 warps=48 always=0.5 rows>5=-2\n";

TEST(CostModel, RanksByTheSumOfWhatItKnows) {
  const CostModel model = model_of(two_variants);
  EXPECT_EQ(ranked(model, forward(1, 4096)), (Names{"one_pass_e8", "one_pass_e16"}));
  EXPECT_EQ(ranked(model, forward(4096, 4096)), (Names{"one_pass_e16", "one_pass_e8"})) << "0.5 - 2 * (12 - 5) / 4";
}

TEST(CostModel, LeavesOutWhatDoesNotFit) {
  const CostModel model = model_of(two_variants);
  EXPECT_EQ(ranked(model, forward(1, 16384)), (Names{"one_pass_e16"})) << "8 elements a thread would take 2048 threads";
  EXPECT_EQ(ranked(model, forward(1, 4097)), Names{}) << "packets need aligned rows";
  Point wide = forward(1, 4096);
  wide.type = DType::float32;
  EXPECT_EQ(ranked(model, wide), Names{}) << "not modelled";
  wide.op = Operation::weight_quant;
  EXPECT_EQ(ranked(model, wide), Names{});
}

TEST(CostModel, AFormAddsToWhatAllHave) {
  const CostModel model = model_of(two_variants + "norm_quant_forward one_pass_e8 layer always=1\n");
  EXPECT_EQ(ranked(model, forward(1, 4096)).front(), "one_pass_e8");
  EXPECT_EQ(ranked(model, forward(1, 4096, form_layer | form_out)).front(), "one_pass_e16");
}

TEST(CostModel, MalformedTextsAreRefusedWithTheLine) {
  const std::string start = "norm_quant_forward one_pass_e8 ";
  const std::pair<std::string, std::string> malformed[] = {
      {"", "device"},
      {head, "no coefficients"},
      {head + "hello\n", "line 4: 'hello'"},
      {head + "weight_quant resident all always=1\n", "line 4: 'weight_quant'"},
      {head + start + "sideways always=1\n", "'sideways' is not a form"},
      {head + start + "all colour=1\n", "'colour' is nothing"},
      {head + start + "all always=fast\n", "always is 'fast'"},
      {head + start + "all always=nan\n", "always is 'nan'"},
      {head + start + "all always=1e30\n", "always is '1e30'"},
      {head + start + "all always\n", "always is ''"},
      {head + start + "all most_threads=2048\n", "most_threads is '2048'"},
      {head + start + "all warps=1.5\n", "whole number"},
      {"device a\nsm_count none\n", "line 2: sm_count is 'none'"},
      {"device a\nresident_clusters 1 2\n", "line 2"},
      {std::string("\x00\xff\x01", 3), "line 1"}};
  for (const auto& [text, part] : malformed) {
    EXPECT_NE(refusal(text).find(part), std::string::npos) << text << "\n" << refusal(text);
  }
  std::string many = head;
  for (int i = 0; i < 33; ++i) many += "norm_quant_forward v" + std::to_string(i) + " all always=1\n";
  EXPECT_NE(refusal(many).find("more than 32"), std::string::npos);
}

TEST(CostModel, AnUnknownVariantIsNamed) {
  CostModel model;
  std::string why;
  ASSERT_TRUE(parse_model(head + "norm_quant_forward none_such all most_threads=1024 warps=64\n", model, why));
  EXPECT_FALSE(find_variants(model, why));
  EXPECT_NE(why.find("none_such"), std::string::npos) << why;
  EXPECT_EQ(rank(model, forward(1, 4096)).count, 0U);
}

TEST(CompiledModels, AreUsableAndReadAgainAsWritten) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(NORMQUANT_SOURCE_DIR) + "/kernels/choice")) {
    if (entry.path().extension() == ".model") ++files;
  }
  EXPECT_EQ(compiled_models().size(), files);
  for (const std::string_view text : compiled_models()) {
    CostModel model, again;
    std::string why;
    ASSERT_TRUE(parse_model(text, model, why)) << why;
    EXPECT_TRUE(find_variants(model, why)) << why;
    const std::string written = to_text(model, {});
    ASSERT_TRUE(parse_model(written, again, why)) << why;
    EXPECT_EQ(to_text(again, {}), written);
  }
}

TEST(FeatureNames, AreAllThereAndEachOnce) {
  auto names = feature_names();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_FALSE(names.front().empty());
}

TEST(CompiledModels, RankWithoutMemoryInAFewMicroseconds) {
  std::vector<Point> points;
  for (std::int64_t rows : {1, 7, 64, 300, 4096, 32768}) {
    for (std::int64_t columns : {256, 1001, 4096, 11008, 65536}) points.push_back(forward(rows, columns));
  }
  DeviceInfo device;
  device.name = "NVIDIA H200";
  device.compute_capability = 90;
  device.sm_count = 132;
  const CostModel* model = model_for(device);
  ASSERT_NE(model, nullptr);
  const std::size_t before = allocations;
  double least = 1e9;
  for (int round = 0; round < 200; ++round) {
    std::size_t count = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const Point& point : points) count += rank(*model, point).count;
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    EXPECT_GT(count, points.size());
    least = std::min(least, took.count() / static_cast<double>(points.size()));
  }
  EXPECT_EQ(allocations, before);
  RecordProperty("microseconds", std::to_string(least));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(least, 5) << "microseconds a choice: 0.8 on an idle Xeon core, and slow machines share their cores";
#endif
}

}  // namespace
}  // namespace normquant::choice
