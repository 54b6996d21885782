// From table to variant: which cells count as near, and what choose_variant makes of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>

#include <normquant/choice.hpp>

#include "kernels/choice/ranking.hpp"

namespace normquant::choice {
namespace {

constexpr Form usual = form_rms | form_out;

Point forward(std::int64_t rows, std::int64_t columns, Form form = usual, DType type = DType::bfloat16) {
  return {Operation::norm_quant_forward, type, form, true, rows, columns};
}

TableIndex index_of(std::vector<Cell> cells) {
  TunedTable table;
  table.device = "invented";
  table.cells = std::move(cells);
  return TableIndex(table);
}

std::vector<std::string> ranked(const TableIndex& index, const Point& point) {
  std::vector<std::string> names;
  for (std::uint16_t variant : index.rank(point)) names.push_back(index.names(point.op)[variant]);
  return names;
}

using Names = std::vector<std::string>;

TEST(Distance, CountsOctavesAndWhatDiffers) {
  const Point here = forward(128, 4096);
  EXPECT_DOUBLE_EQ(distance(here, here), 0);
  EXPECT_DOUBLE_EQ(distance(here, forward(256, 4096)), 1);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 2048)), 3);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 4096, form_layer | form_out)), 1);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 4096, form_rms | form_codes)), 2);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 4096, usual | form_residual)), 1);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 4096, usual, DType::float16)), 0.25);
  EXPECT_DOUBLE_EQ(distance(here, forward(128, 2048, usual, DType::float32)), 6) << "rows of the same bytes";
  EXPECT_DOUBLE_EQ(distance(forward(0, 64), forward(1, 64)), 0);
}

TEST(Distance, ColumnSumsCountThree) {
  const auto backward = [](Form form) {
    return Point{Operation::norm_quant_backward, DType::bfloat16, form, true, 16, 64};
  };
  EXPECT_DOUBLE_EQ(distance(backward(form_rms | form_sums), backward(form_rms)), 3);
  EXPECT_DOUBLE_EQ(distance(backward(form_layer | form_sums), backward(form_rms)), 4);
}

TEST(Rank, AnExactCellSpeaksForItself) {
  const TableIndex index = index_of({{forward(16, 4096), {{"a", 1}, {"b", 1.02}}}, {forward(16, 1024), {{"b", 1}}}});
  EXPECT_EQ(ranked(index, forward(16, 4096)), (Names{"a", "b"}));
  EXPECT_EQ(ranked(index, forward(16, 1024)), (Names{"b", "a"}));
}

TEST(Rank, TheNearestCellDecidesAndNCountsMoreThanM) {
  const TableIndex index = index_of({{forward(16, 4096), {{"a", 1}}}, {forward(128, 1024), {{"b", 1}}}});
  EXPECT_EQ(ranked(index, forward(128, 4096)).front(), "a") << "3 octaves of M are nearer than 2 of N";
  EXPECT_EQ(ranked(index, forward(128, 1536)).front(), "b");
  EXPECT_EQ(ranked(index, forward(1 << 20, 1 << 20)).size(), 2U) << "outside the grid too";
}

TEST(Rank, NeighboursBreakTies) {
  const TableIndex index =
      index_of({{forward(16, 4096), {{"a", 1}, {"b", 1}}}, {forward(64, 4096), {{"b", 1}, {"a", 1.2}}}});
  EXPECT_EQ(ranked(index, forward(16, 4096)), (Names{"b", "a"}));
  const TableIndex alone = index_of({{forward(16, 4096), {{"a", 1}, {"b", 1}}}});
  EXPECT_EQ(ranked(alone, forward(16, 4096)), (Names{"a", "b"})) << "the simpler one, which the cell lists first";
}

TEST(Rank, BetweenTwoCellsWhatIsGoodInBothWins) {
  const TableIndex index = index_of({{forward(64, 2048), {{"left", 1}, {"both", 1.02}}},
                                     {forward(64, 8192), {{"right", 1}, {"both", 1.02}, {"left", 1.25}}}});
  EXPECT_EQ(ranked(index, forward(64, 4000)).front(), "both");
  EXPECT_EQ(ranked(index, forward(64, 2048)).front(), "left");
}

TEST(Rank, AShortListSaysThatTheOthersAreBad) {
  const TableIndex index = index_of({{forward(64, 2048), {{"a", 1}, {"b", 1.29}}}, {forward(64, 8192), {{"c", 1}}}});
  EXPECT_EQ(ranked(index, forward(64, 2100)), (Names{"a", "b", "c"}));
}

TEST(Rank, AlignmentAndOperationsAreNeverMixed) {
  const TableIndex index = index_of({{forward(16, 4096), {{"a", 1}}}});
  Point odd = forward(16, 4097);
  odd.aligned = false;
  EXPECT_EQ(index.rank(odd).count, 0U);
  EXPECT_EQ(index.rank({Operation::activation_quant, DType::bfloat16, form_out, true, 16, 4096}).count, 0U);
}

TEST(Rank, TheNearestFormAndTypeStandIn) {
  const TableIndex index = index_of({{forward(16, 4096), {{"rms", 1}}},
                                     {forward(16, 4096, form_layer | form_out), {{"layer", 1}}},
                                     {forward(16, 4096, usual, DType::float32), {{"wide", 1}}}});
  EXPECT_EQ(ranked(index, forward(16, 4096, usual, DType::float16)).front(), "rms");
  EXPECT_EQ(ranked(index, forward(16, 4096, usual | form_codes)).front(), "rms");
  EXPECT_EQ(ranked(index, forward(16, 4096, form_layer | form_out | form_residual)).front(), "layer");
  EXPECT_EQ(ranked(index, forward(16, 4096, usual, DType::float32)).front(), "wide");
}

TEST(Rank, AtMostFourCellsAreAsked) {
  std::vector<Cell> cells;
  for (int i = 0; i < 9; ++i) cells.push_back({forward(1LL << i, 4096), {{"v" + std::to_string(i), 1}}});
  EXPECT_EQ(index_of(cells).rank(forward(1, 4096)).count, most_neighbours);
}

/// What rank() promises, said without its speed: all distances, then all costs.
std::vector<std::string> ranked_by_definition(const std::vector<Cell>& cells, const Point& point) {
  std::vector<std::pair<double, const Cell*>> nearest;
  for (const Cell& cell : cells) nearest.emplace_back(distance(cell.point, point), &cell);
  std::stable_sort(nearest.begin(), nearest.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  nearest.resize(std::min(nearest.size(), most_neighbours));
  std::vector<std::pair<double, std::string>> costs;
  for (const auto& [unused, cell] : nearest) {
    for (const Listed& listed : cell->listed) {
      const auto same = [&](const auto& other) { return other.second == listed.variant; };
      if (std::any_of(costs.begin(), costs.end(), same)) continue;
      double sum = 0, weights = 0;
      for (const auto& [away, other] : nearest) {
        double cost = (other->listed.size() == most_listed ? other->listed.back().cost : most_listed_cost) + 0.05;
        for (const Listed& candidate : other->listed) {
          if (candidate.variant == listed.variant) cost = candidate.cost;
        }
        const double weight = 1 / ((away + 0.05) * (away + 0.05));
        sum += weight * cost;
        weights += weight;
      }
      costs.emplace_back(sum / weights, listed.variant);
    }
  }
  std::stable_sort(costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (const auto& [unused, name] : costs) names.push_back(name);
  return names;
}

TEST(Rank, IsThatOfItsDefinition) {
  std::mt19937 generator(5);
  const auto drawn = [&](std::int64_t most) { return static_cast<std::int64_t>(generator() % most); };
  const Form forms[] = {usual, usual | form_residual, form_layer | form_out, form_rms | form_codes};
  const DType types[] = {DType::bfloat16, DType::float16, DType::float32};
  const auto place = [&] { return forward(1 + drawn(5000), 8 + drawn(9000), forms[drawn(4)], types[drawn(3)]); };
  for (int round = 0; round < 60; ++round) {
    std::vector<Cell> cells;
    for (std::int64_t i = 0, count = 1 + drawn(9); i < count; ++i) {
      Cell cell{place(), {}};
      double cost = 1;
      for (std::int64_t k = 0, listed = 1 + drawn(static_cast<std::int64_t>(most_listed)); k < listed; ++k) {
        const std::string name(1, static_cast<char>('a' + (drawn(5) + 5 * k)));
        cell.listed.push_back({name, cost});
        cost += 0.001 * static_cast<double>(1 + drawn(60));
      }
      cells.push_back(cell);
    }
    const Point point = round % 3 == 0 ? cells.front().point : place();
    EXPECT_EQ(ranked(index_of(cells), point), ranked_by_definition(cells, point)) << "round " << round;
  }
}

// choose_variant, on the host device under a name of the test's own.

struct Memory {
  alignas(256) unsigned char bytes[4096] = {};
};

NormQuantForward problem(Memory& memory, std::int64_t columns) {
  NormQuantForward a;
  a.rows = 4, a.columns = columns, a.eps = 1e-6F;
  a.x = {memory.bytes, DType::bfloat16, columns};
  a.output.out = {memory.bytes, DType::bfloat16, columns};
  return a;
}

DeviceInfo device_named(const std::string& name) {
  DeviceInfo info = open_host_device()->info();
  info.name = name;
  return info;
}

std::vector<std::string> serving(const NormQuantForward& a, const DeviceInfo& device, bool serves) {
  std::vector<std::string> names;
  for (const auto& variant : variants<NormQuantForward>(DeviceKind::host)) {
    if (variant.why_not(variant, a, device).empty() == serves && variant.deterministic)
      names.emplace_back(variant.name);
  }
  return names;
}

TEST(ChooseVariant, TakesTheFirstOfTheTableThatServes) {
  Memory memory;
  const NormQuantForward a = problem(memory, 256), odd = problem(memory, 255);
  const DeviceInfo device = device_named("the tuned one"), other = device_named("another");
  const Names good = serving(a, device, true);
  ASSERT_GE(good.size(), 2U);
  for (const std::string& wanted : {good.front(), good.back()}) {
    const std::string cell = "norm_quant_forward bfloat16 rms+out aligned 4 256 " + wanted + "=1.00\n";
    const Status status = set_tuned_table("device the tuned one\n" + cell);
    ASSERT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(choose_variant(a, device).name, wanted) << "the newest table counts";
  }
  EXPECT_TRUE(has_tuned_table(device));
  EXPECT_FALSE(has_tuned_table(other));
  EXPECT_EQ(choose_variant(odd, device).name, choose_variant(odd, other).name) << "no cell: the rule without a table";
}

TEST(ChooseVariant, PassesOverWhatDoesNotServe) {
  Memory memory;
  const NormQuantForward odd = problem(memory, 255);
  const DeviceInfo device = device_named("tuned with odd N"), other = device_named("another");
  const Names good = serving(odd, device, true), bad = serving(odd, device, false);
  ASSERT_FALSE(good.empty());
  ASSERT_FALSE(bad.empty());
  const std::string start =
      "device tuned with odd N\nnorm_quant_forward bfloat16 rms+out unaligned 4 255 " + bad.front();
  ASSERT_TRUE(set_tuned_table(start + "=1.00 " + good.back() + "=1.10\n").ok());
  EXPECT_EQ(choose_variant(odd, device).name, good.back());
  ASSERT_TRUE(set_tuned_table(start + "=1.00\n").ok());
  EXPECT_EQ(choose_variant(odd, device).name, choose_variant(odd, other).name) << "none serves: the rule";
}

TEST(ChooseVariant, NeverTakesWhatIsNotDeterministic) {
  Memory memory;
  NormQuantBackward a;
  a.rows = 4, a.columns = 256;
  a.dy = a.h = {memory.bytes, DType::bfloat16, 256};
  a.rstd = reinterpret_cast<const float*>(memory.bytes);
  a.dx = {memory.bytes, DType::bfloat16, 256};
  a.dweight = {memory.bytes, DType::bfloat16};
  const DeviceInfo device = device_named("tuned with atomics");
  for (const auto& variant : variants<NormQuantBackward>(DeviceKind::host)) {
    if (variant.deterministic || !variant.why_not(variant, a, device).empty()) continue;
    const std::string cell = "norm_quant_backward bfloat16 rms+sums aligned 4 256 " + std::string(variant.name);
    ASSERT_TRUE(set_tuned_table("device tuned with atomics\n" + cell + "=1.00\n").ok());
    EXPECT_TRUE(choose_variant(a, device).deterministic);
  }
}

}  // namespace
}  // namespace normquant::choice
