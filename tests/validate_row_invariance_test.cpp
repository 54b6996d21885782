// Row invariance is proved, and what breaks it is found: kernels that are ours but for one turn each.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/choice/row_invariant.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/row_invariance.hpp"
#include "validate/row_invariance_plan.hpp"

namespace normquant::validate {
namespace {

using Forward = Variant<NormQuantForward>;

const Forward& ours(std::string_view name) {
  const auto& all = variants<NormQuantForward>(DeviceKind::host);
  return *std::find_if(all.begin(), all.end(), [&](const Forward& v) { return v.name == name; });
}

Problem forward(std::int64_t columns) {
  Problem p;
  p.rows = 3, p.columns = columns;
  p.x = DType::bfloat16;
  p.out = p.weight = p.x;
  return p;
}

/// one_pass_e8 under another name, with that launch.
Forward changed(Status (*launch)(const Forward&, const NormQuantForward&, const DeviceInfo&, void*, Stream)) {
  Forward variant = ours("one_pass_e8");
  variant.name = "changed";
  variant.launch = launch;
  return variant;
}

Status by(std::string_view name, const NormQuantForward& a, const DeviceInfo& device) {
  const Forward& variant = ours(name);
  return variant.launch(variant, a, device, nullptr, nullptr);
}

/// Rows `first` up to `last` alone, by that variant.
Status some_rows(std::string_view name, NormQuantForward a, std::int64_t first, std::int64_t last,
                 const DeviceInfo& device) {
  const auto bytes = [&](std::int64_t ld) { return static_cast<std::size_t>(2 * first * ld); };
  a.rows = last - first;
  if (a.rows == 0) return {};
  a.x.data = static_cast<const unsigned char*>(a.x.data) + bytes(a.x.ld);
  a.output.out.data = static_cast<unsigned char*>(a.output.out.data) + bytes(a.output.out.ld);
  if (a.rstd != nullptr) a.rstd += first;
  return by(name, a, device);
}

Verdict proved(const Forward& variant, const Problem& problem) {
  const auto device = open_host_device();
  return RowInvariance(problem, *device).prove(variant.name, VariantHandle(variant), {});
}

TEST(RowInvariance, IsProvedOfAVariantThatKeepsIt) {
  const Verdict verdict = proved(ours("one_pass_e8"), forward(1000));
  EXPECT_EQ(verdict.outcome, Outcome::pass) << verdict.reason;
  EXPECT_GT(verdict.rows_compared, 200) << "out and rstd, in several problems";
}

TEST(RowInvariance, ASumInAnotherOrderForManyRowsIsFound) {
  const Forward variant = changed([](const Forward&, const NormQuantForward& a, const DeviceInfo& device, void*,
                                     Stream) { return by(a.rows >= 128 ? "one_pass_e16" : "one_pass_e8", a, device); });
  const Verdict verdict = proved(variant, forward(1000));
  EXPECT_EQ(verdict.outcome, Outcome::wrong);
  EXPECT_NE(verdict.reason.find("of M = 130"), std::string::npos) << verdict.reason;
  EXPECT_NE(verdict.reason.find(" is 0x"), std::string::npos) << verdict.reason;
  ASSERT_FALSE(verdict.mismatches.empty());
  EXPECT_TRUE(verdict.mismatches.front().expected.starts_with("0x")) << verdict.mismatches.front().expected;
}

TEST(RowInvariance, ASumThatFollowsTheRowsPlaceIsFound) {
  const Forward variant =
      changed([](const Forward&, const NormQuantForward& a, const DeviceInfo& device, void*, Stream) {
        const Status status = some_rows("one_pass_e8", a, 0, a.rows / 2, device);
        return status.ok() ? some_rows("one_pass_e16", a, a.rows / 2, a.rows, device) : status;
      });
  EXPECT_EQ(proved(variant, forward(1000)).outcome, Outcome::wrong);
}

TEST(RowInvariance, ASumThatFollowsTheAlignmentIsFound) {
  Forward variant = changed([](const Forward&, const NormQuantForward& a, const DeviceInfo& device, void*, Stream) {
    const bool serves = ours("one_pass_e8").why_not(ours("one_pass_e8"), a, device).empty();
    return by(serves ? "one_pass_e8" : "striped_e8", a, device);
  });
  variant.why_not = ours("striped_e8").why_not;
  variant.tuning = ours("striped_e8").tuning;
  const Verdict verdict = proved(variant, forward(1000));
  EXPECT_EQ(verdict.outcome, Outcome::wrong);
  EXPECT_NE(verdict.reason.find("in tensors of another alignment"), std::string::npos) << verdict.reason;
}

TEST(RowInvariance, ShiftedPacketsDoNotPromiseItAndDoNotHaveIt) {
  const auto& all = variants<NormQuantBackward>(DeviceKind::host);
  const auto shifted =
      std::find_if(all.begin(), all.end(), [](const auto& v) { return v.name == "staged_shifted_e16"; });
  EXPECT_FALSE(shifted->row_invariant);
  Problem p = forward(1001);
  p.op = Operation::norm_quant_backward;
  p.x = DType::float32;
  p.out = p.weight = p.dy = p.x;
  const auto device = open_host_device();
  EXPECT_EQ(RowInvariance(p, *device).prove(shifted->name, VariantHandle(*shifted), {}).outcome, Outcome::wrong);
}

TEST(RowInvariance, RowsWithTheBitsOfAnotherVariantAreHeldToThem) {
  Forward variant = ours("one_pass_e8");
  variant.row_bits_of = "one_pass_e16";
  const Verdict verdict = proved(variant, forward(1000));
  EXPECT_EQ(verdict.outcome, Outcome::wrong);
  EXPECT_NE(verdict.reason.find(", by one_pass_e16"), std::string::npos) << verdict.reason;
}

TEST(RowInvariance, TheChoiceKeepsThemToo) {
  const auto device = open_host_device();
  for (const Operation op :
       {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant}) {
    Problem p = forward(1000);
    p.op = op;
    if (op == Operation::norm_quant_backward) p.dy = p.x;
    std::string why;
    const auto prepared = prepare(p, *device, 0, why);
    ASSERT_NE(prepared, nullptr) << why;
    const VariantHandle chosen = prepared->find("invariant");
    ASSERT_TRUE(chosen.row_invariant());
    const Verdict verdict = RowInvariance(p, *device).prove("invariant", chosen, {});
    EXPECT_EQ(verdict.outcome, Outcome::pass) << verdict.reason;
    EXPECT_GT(verdict.rows_compared, 100);
  }
}

TEST(RowInvariance, SettingsHoldTheSameRowsInOtherProblems) {
  const std::vector<Setting> all = settings_of(forward(1000), DeviceKind::host);
  std::vector<std::int64_t> rows;
  for (const Setting& setting : all) {
    rows.push_back(setting.problem.rows);
    EXPECT_TRUE(setting.how.empty() || setting.problem.rows == 8);
  }
  EXPECT_EQ(rows, (std::vector<std::int64_t>{1, 8, 8, 130, 8, 8, 8, 8, 8}));
  EXPECT_EQ(settings_of(forward(1000), DeviceKind::cuda)[4].problem.rows, 4097);
  EXPECT_EQ(settings_of(forward(64), DeviceKind::host)[4].problem.rows, 8) << "4097 rows take seconds there";
}

Problem layer_problem(std::int64_t columns, std::int64_t k_out) {
  Problem p = forward(columns);
  p.op = Operation::bit_linear_forward;
  p.k_out = k_out;
  return p;
}

TEST(RowInvariance, ALayerOfLongOutputsTakesFewRows) {
  Problem p = layer_problem(16, 524288);
  std::int64_t most = 0;
  for (const Setting& setting : settings_of(p, DeviceKind::cuda)) most = std::max(most, setting.problem.rows);
  EXPECT_EQ(most, 8) << "4097 rows of 524288 outputs are 4 GB";
  p.k_out = 48;
  for (const Setting& setting : settings_of(p, DeviceKind::cuda)) most = std::max(most, setting.problem.rows);
  EXPECT_EQ(most, 4097);
}

/// The problems whose rows `variant` is asked for, of these.
std::vector<Problem> asked_for(const std::vector<Problem>& problems, const DeviceInfo& device,
                               const std::string& variant, Proofs proofs = Proofs::once_a_form_and_type) {
  std::vector<Job> jobs;
  for (const Problem& p : problems) jobs.push_back({{}, {p, 0, false}, {variant}});
  ask_for_row_invariance(jobs, device, proofs);
  std::vector<Problem> asked;
  for (const Job& job : jobs) {
    if (!job.compare_rows.empty()) asked.push_back(job.subject.problem);
  }
  return asked;
}

TEST(RowInvariance, TheLayerIsAskedForItWhereProductsOfCodesServe) {
  Problem shifted = layer_problem(1024, 64), padded = shifted, cut = layer_problem(1024, 31);
  shifted.offset = 1;
  padded.row_padding = 5;
  const auto device = open_host_device();
  const auto asked =
      asked_for({shifted, padded, cut, layer_problem(64, 48), layer_problem(1000, 48)}, device->info(), "packed");
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].columns, 64) << "the others have rows that do not start at multiples of 16 bytes";
}

/// Of all variants of the layer that promise it on that device, which need not be there.
void expect_such_a_layer(const DeviceInfo& device) {
  for (const SuiteSize size : {SuiteSize::smoke, SuiteSize::standard}) {
    std::vector<Problem> problems;
    for (const Case& c : suite_cases(Operation::bit_linear_forward, size, 1, {}, &device)) {
      problems.push_back(c.problem);
    }
    for (const VariantEntry& variant : catalogue(Operation::bit_linear_forward, device.kind)) {
      if (!variant.row_invariant) continue;
      const auto asked = asked_for(problems, device, std::string(variant.name), Proofs::once_a_norm);
      EXPECT_FALSE(asked.empty()) << variant.name;
      for (const Problem& p : asked) {
        EXPECT_EQ(p.offset, 0) << to_text(p);
        EXPECT_TRUE(p.columns % 16 == 0 && p.outputs() % 16 == 0 && p.row_padding % 16 == 0) << to_text(p);
        EXPECT_TRUE(p.offsets.empty() && p.paddings.empty()) << to_text(p);
      }
    }
  }
}

TEST(RowInvariance, TheSuitesHaveSuchALayer) {
  const auto host = open_host_device();
  expect_such_a_layer(host->info());
  DeviceInfo gpu;  // its variants are known where the CUDA Toolkit was, with or without a GPU
  gpu.kind = DeviceKind::cuda;
  gpu.compute_capability = 90;
  gpu.sm_count = 132;
  gpu.shared_memory_per_block = std::size_t{227} * 1024;
  gpu.max_cluster_blocks = 16;
  gpu.resident_clusters = {66, 30, 15, 7};
  expect_such_a_layer(gpu);
}

}  // namespace
}  // namespace normquant::validate
