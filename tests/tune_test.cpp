// Tuning on invented records: cells, ties, regret; and problems as points.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/environment.hpp"
#include "bench/timing_record.hpp"
#include "bench/tune/build_table.hpp"
#include "bench/tune/regret.hpp"
#include "bench/tune/timed_cases.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/problem_point.hpp"
#include "validate/suite.hpp"

namespace normquant::tune {
namespace {

constexpr choice::Form usual = choice::form_rms | choice::form_out;

choice::Point forward(std::int64_t rows, std::int64_t columns) {
  return {Operation::norm_quant_forward, DType::bfloat16, usual, true, rows, columns};
}

TimedCase timed(const choice::Point& point, std::vector<VariantTime> times, std::string auto_variant = "a") {
  return {point, choice::to_text(point), std::move(auto_variant), std::move(times)};
}

std::string listed(const choice::Cell& cell) {
  choice::TunedTable table;
  table.cells = {cell};
  const std::string text = choice::to_text(table, {}), head = choice::to_text(cell.point) + " ";
  return text.substr(text.find(head) + head.size());
}

TEST(CellsOf, ListsTheFastestWithTheirCosts) {
  const auto cells = cells_of({timed(forward(1, 64), {{"a", 12, 0}, {"b", 10, 0}, {"c", 11, 0}, {"d", 13.1, 0}})});
  ASSERT_EQ(cells.size(), 1U);
  EXPECT_EQ(listed(cells[0]), "b=1.00 c=1.10 a=1.20\n");
}

TEST(CellsOf, TiesGoToTheSimplest) {
  const auto within_a_percent = cells_of({timed(forward(1, 64), {{"simple", 10.09, 0}, {"fast", 10, 0}})});
  EXPECT_EQ(listed(within_a_percent[0]), "simple=1.00 fast=1.00\n");
  const auto above = cells_of({timed(forward(1, 64), {{"simple", 10.11, 0}, {"fast", 10, 0}})});
  EXPECT_EQ(listed(above[0]), "fast=1.00 simple=1.01\n");
}

TEST(CellsOf, SpreadsWidenATieUpToThreePercent) {
  const auto noisy = cells_of({timed(forward(1, 64), {{"simple", 10.19, 0.03}, {"fast", 10, 0.01}})});
  EXPECT_EQ(listed(noisy[0]), "simple=1.00 fast=1.00\n");
  const auto wild = cells_of({timed(forward(1, 64), {{"simple", 10.4, 0.5}, {"fast", 10, 0.5}})});
  EXPECT_EQ(listed(wild[0]), "fast=1.00 simple=1.04\n");
}

TEST(CellsOf, ListsAreShort) {
  TimedCase many = timed(forward(1, 64), {});
  for (int i = 0; i < 12; ++i) many.times.push_back({"v" + std::to_string(i), 10.0 + 0.2 * i, 0});
  EXPECT_EQ(cells_of({many})[0].listed.size(), choice::most_listed);
}

choice::TunedTable table_of(const std::vector<TimedCase>& cases) { return {"invented", 0, 0, cells_of(cases)}; }

TEST(Regret, IsTheTimeOfTheChosenOverTheBest) {
  const auto table = table_of({timed(forward(16, 1024), {{"a", 10, 0}, {"b", 20, 0}}),
                               timed(forward(16, 16384), {{"a", 20, 0}, {"b", 10, 0}})});
  const std::vector<TimedCase> left_out = {timed(forward(16, 2048), {{"a", 10, 0}, {"b", 12, 0}}, "b"),
                                           timed(forward(16, 8192), {{"a", 10, 0}, {"b", 10.2, 0}}, "b")};
  const Regrets regrets = regrets_of_table(table, left_out);
  ASSERT_EQ(regrets.cases.size(), 2U);
  EXPECT_EQ(regrets.cases[0].chosen, "a");
  EXPECT_DOUBLE_EQ(regrets.cases[0].regret(), 0);
  EXPECT_EQ(regrets.cases[1].chosen, "b");
  EXPECT_EQ(regrets.cases[1].best, "a");
  EXPECT_NEAR(regrets.cases[1].regret(), 0.02, 1e-12);
  EXPECT_NEAR(regrets.worst()->regret(), 0.02, 1e-12);
  EXPECT_NEAR(regrets.mean(), 0.01, 1e-12);
  EXPECT_EQ(summary(regrets), "worst 2.0%, mean 1.00%, 2 cases");
  const Regrets before = regrets_of_auto(left_out);
  EXPECT_NEAR(before.worst()->regret(), 0.2, 1e-12);
  EXPECT_FALSE(before.meets_target());
  EXPECT_NE(to_text(before).find("20.0%"), std::string::npos) << to_text(before);
}

TEST(Regret, TheTargetIsWorstAndMean) {
  const auto table = table_of({timed(forward(16, 1024), {{"a", 10, 0}, {"b", 20, 0}})});
  const auto met = [&](double a1, double a2) {
    return regrets_of_table(table, {timed(forward(8, 1024), {{"a", a1, 0}, {"b", 10, 0}}),
                                    timed(forward(4, 1024), {{"a", a2, 0}, {"b", 10, 0}})})
        .meets_target();
  };
  EXPECT_TRUE(met(10.1, 10));
  EXPECT_FALSE(met(10.4, 10)) << "the worst";
  EXPECT_FALSE(met(10.25, 10.25)) << "the mean";
  EXPECT_FALSE(regrets_of_table(table, {}).meets_target()) << "nothing was measured";
}

TEST(Regret, ACaseWithoutAChoiceIsSaid) {
  const auto table = table_of({timed(forward(16, 1024), {{"a", 10, 0}})});
  const Regrets regrets = regrets_of_table(table, {timed(forward(8, 1024), {{"other", 10, 0}})});
  EXPECT_TRUE(regrets.cases.empty());
  EXPECT_EQ(regrets.not_chosen.size(), 1U);
  EXPECT_NE(to_text(regrets).find("the rule without a table"), std::string::npos) << to_text(regrets);
}

TEST(Regret, CasesThatWereTunedOnAreNotHeldOut) {
  const auto table = table_of({timed(forward(16, 1024), {{"a", 10, 0}})});
  const auto kept = held_out({timed(forward(16, 1024), {{"a", 1, 0}}), timed(forward(17, 1024), {{"a", 1, 0}})}, table);
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].point.rows, 17);
}

// From records.

const std::string environment_line = bench::describe_environment(std::nullopt).dump() + "\n";

std::string timing_line(const std::string& variant, double us, validate::Shape shape, std::string_view form = "rms") {
  bench::TimingRecord record;
  record.timed = *bench::make_case(Operation::norm_quant_forward, shape, DType::bfloat16, form);
  record.variant = variant;
  record.auto_variant = "a";
  record.time_kind = "steady";
  record.outcome = validate::Outcome::pass;
  record.samples = std::vector<double>(20, us);
  record.summary = bench::summarise(record.samples);
  return bench::to_json(record).dump() + "\n";
}

reports::RecordSet records_of(const std::string& text) {
  reports::RecordSet set;
  std::string why;
  EXPECT_TRUE(reports::parse_records(text, "file.jsonl", set, why)) << why;
  return set;
}

const Candidates invented = [](Operation) { return std::vector<std::string>{"simple", "a", "b"}; };

TEST(TimedCases, GroupsRecordsSimplestFirst) {
  std::vector<std::string> notes;
  const auto cases =
      timed_cases(records_of(environment_line + timing_line("b", 3, {16, 4096}) + timing_line("simple", 4, {16, 4096}) +
                             timing_line("auto", 1, {16, 4096}) + timing_line("a", 5, {2, 129}, "codes")),
                  invented, notes);
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[0].point, forward(16, 4096));
  ASSERT_EQ(cases[0].times.size(), 2U);
  EXPECT_EQ(cases[0].times[0].variant, "simple");
  EXPECT_EQ(cases[0].times[0].median_us, 4);
  EXPECT_EQ(choice::to_text(cases[1].point), "norm_quant_forward bfloat16 rms+codes unaligned 2 129");
  EXPECT_TRUE(notes.empty()) << notes.front();
}

TEST(TimedCases, WhatIsLeftOutIsSaid) {
  std::vector<std::string> notes;
  const auto cases =
      timed_cases(records_of(environment_line + timing_line("unheard_of", 3, {16, 4096})), invented, notes);
  EXPECT_TRUE(cases.empty());
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("unheard_of"), std::string::npos) << notes[0];
}

TEST(DeviceOf, OneDeviceOnly) {
  std::string why;
  auto gpu = nlohmann::json::parse(environment_line);
  gpu["gpu"] = {{"name", "NVIDIA H200"}, {"compute_capability", "9.0"}, {"sm_count", 132}};
  const std::string on_gpu = gpu.dump() + "\n" + timing_line("a", 1, {1, 64});
  const auto device = device_of(records_of(on_gpu), why);
  ASSERT_TRUE(device) << why;
  EXPECT_EQ(device->name, "NVIDIA H200");
  EXPECT_EQ(device->compute_capability, 90);
  EXPECT_EQ(device->sm_count, 132);
  EXPECT_FALSE(device_of(records_of(on_gpu + environment_line + timing_line("a", 1, {2, 64})), why));
  EXPECT_NE(why.find("several devices"), std::string::npos) << why;
  EXPECT_FALSE(device_of(records_of(environment_line), why));
}

TEST(PointOf, TheProblemsOfEverySuiteHaveThePointsOfTheirArguments) {
  const auto device = open_host_device();
  for (Operation op : all_operations) {
    for (const validate::Case& c : validate::suite_cases(op, validate::SuiteSize::smoke, 1, {})) {
      std::string why;
      const auto prepared = validate::prepare(c.problem, *device, c.distinct_rows, why);
      ASSERT_NE(prepared, nullptr) << why;
      EXPECT_EQ(choice::to_text(point_of(c.problem)), choice::to_text(prepared->point())) << to_text(c.problem);
    }
  }
}

TEST(PointOf, FormsAreNamedInTables) {
  const auto form = [](Operation op, std::string_view name) {
    return choice::form_text(point_of(bench::make_case(op, {16, 64}, DType::bfloat16, name)->problem).form);
  };
  EXPECT_EQ(form(Operation::norm_quant_forward, "rms+residual"), "rms+residual+out");
  EXPECT_EQ(form(Operation::norm_quant_forward, "codes"), "rms+codes");
  EXPECT_EQ(form(Operation::norm_quant_backward, "rms+dresidual"), "rms+dresidual+out+sums");
  EXPECT_EQ(form(Operation::norm_quant_backward, "layer"), "layer+out+sums");
  EXPECT_EQ(form(Operation::weight_quant, "packed"), "packed");
}

TEST(PointOf, ShiftedPointersAreUnaligned) {
  for (Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward}) {
    const auto aligned = [op](std::string_view form) {
      return point_of(bench::make_case(op, {16, 64}, DType::bfloat16, form)->problem).aligned;
    };
    EXPECT_TRUE(aligned("rms"));
    EXPECT_FALSE(aligned("rms+unaligned"));
  }
}

}  // namespace
}  // namespace normquant::tune
