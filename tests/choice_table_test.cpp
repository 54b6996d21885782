// Tuned tables as text: what is read, what is refused, and the tables of this repository.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include <normquant/choice.hpp>

#include "kernels/choice/installed_tables.hpp"
#include "kernels/choice/tuned_table.hpp"

namespace normquant::choice {
namespace {

const std::string head = "device NVIDIA H200\ncompute_capability 9.0\nsm_count 132\n";
const std::string cell = "norm_quant_forward bfloat16 rms+out aligned 16 4096 first=1.00 second=1.04\n";

/// The sentence that the text is refused with; empty when it is accepted.
std::string refusal(const std::string& text) {
  TunedTable table;
  std::string why;
  return parse_table(text, table, why) ? "" : why;
}

TEST(ParseTable, ReadsHeadCommentsAndCells) {
  TunedTable table;
  std::string why;
  ASSERT_TRUE(parse_table(
      "# a comment\n\n" + head + "  # another\r\n" + cell + "weight_quant float32 out+packed unaligned 3 5 only=1.00",
      table, why))
      << why;
  EXPECT_EQ(table.device, "NVIDIA H200");
  EXPECT_EQ(table.compute_capability, 90);
  EXPECT_EQ(table.sm_count, 132);
  ASSERT_EQ(table.cells.size(), 2U);
  EXPECT_EQ(table.cells[0].point,
            (Point{Operation::norm_quant_forward, DType::bfloat16, form_rms | form_out, true, 16, 4096}));
  ASSERT_EQ(table.cells[0].listed.size(), 2U);
  EXPECT_EQ(table.cells[0].listed[1].variant, "second");
  EXPECT_DOUBLE_EQ(table.cells[0].listed[1].cost, 1.04);
  EXPECT_EQ(table.cells[1].point,
            (Point{Operation::weight_quant, DType::float32, form_out | form_packed, false, 3, 5}));
}

TEST(ParseTable, WhatIsWrittenIsReadAgain) {
  TunedTable table, again;
  std::string why;
  ASSERT_TRUE(
      parse_table(head + cell + "norm_quant_backward float16 layer+sums unaligned 1 7 a=1.00 b=1.29\n", table, why));
  const std::string text = to_text(table, {"one line", "another"});
  EXPECT_EQ(text.find("# one line\n# another\ndevice NVIDIA H200\n"), 0U) << text;
  ASSERT_TRUE(parse_table(text, again, why)) << why << text;
  EXPECT_EQ(to_text(again, {}), to_text(table, {}));
  EXPECT_NE(text.find("b=1.29"), std::string::npos) << text;
  EXPECT_EQ(again.device, table.device);
  EXPECT_EQ(again.compute_capability, 90);
  EXPECT_EQ(again.sm_count, 132);
  ASSERT_EQ(again.cells.size(), 2U);
  EXPECT_EQ(again.cells[1].point, table.cells[1].point);
}

TEST(ParseTable, TakesWhatIsJustAllowed) {
  const std::string variant = "weight_quant float32 out aligned 1 1 az_09=1.00\n";
  for (const char* capability : {"1.0", "1000.9"}) {
    EXPECT_EQ(refusal("device a\ncompute_capability " + std::string(capability) + "\n" + variant), "") << capability;
  }
}

TEST(ParseTable, MalformedTextsAreRefusedWithTheLine) {
  const std::pair<std::string, std::string> malformed[] = {
      {"", "device"},
      {head, "no cells"},
      {cell, "line 1: the line 'device NAME' must come before"},
      {"hello\n", "line 1: 'hello'"},
      {"device\n" + cell, "line 1"},
      {"device a\ndevice b\n" + cell, "line 2: there is an earlier line"},
      {"device a\ncompute_capability nine\n", "line 2"},
      {"device a\ncompute_capability 9\n", "line 2"},
      {"device a\ncompute_capability 9.x\n", "line 2"},
      {"device a\ncompute_capability 9.\n", "line 2"},
      {"device a\ncompute_capability 0.9\n", "line 2"},
      {"device a\ncompute_capability 1001.0\n", "line 2"},
      {"device a\nsm_count -1\n", "line 2"},
      {head + cell + cell, "line 5: there is an earlier cell"},
      {head + "norm_quant_forward int4 rms+out aligned 16 4096 a=1.00\n", "int4"},
      {head + "norm_quant_forward bfloat16 rms+packed aligned 16 4096 a=1.00\n", "rms+packed"},
      {head + "norm_quant_forward bfloat16 out aligned 16 4096 a=1.00\n", "'out' is not a form"},
      {head + "norm_quant_forward bfloat16 rms+layer+out aligned 16 4096 a=1.00\n", "rms+layer+out"},
      {head + "norm_quant_forward bfloat16 rms+rms aligned 16 4096 a=1.00\n", "rms+rms"},
      {head + "norm_quant_forward bfloat16 rms+ aligned 16 4096 a=1.00\n", "rms+"},
      {head + "norm_quant_forward bfloat16 rms+out crooked 16 4096 a=1.00\n", "crooked"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 0 4096 a=1.00\n", "M is '0'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4k a=1.00\n", "N is '4k'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16\n", "N is ''"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096\n", "lists no variant"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a\n", "'a'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 A=1.00\n", "'A=1.00'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=fast\n", "'a=fast'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=0.5\n", "'a=0.5'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=nan\n", "'a=nan'"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=1.00 a=1.00\n", "twice"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=1.20 b=1.10\n", "order"},
      {head + "norm_quant_forward bfloat16 rms+out aligned 16 4096 a=1 b=1 c=1 d=1 e=1 f=1 g=1\n", "more than 6"},
      {std::string("\x00\xff\x01", 3), "line 1"}};
  for (const auto& [text, part] : malformed) {
    EXPECT_NE(refusal(text).find(part), std::string::npos) << text << "\n" << refusal(text);
  }
  EXPECT_EQ(refusal(head + cell), "");
}

TEST(TunedTable, IsForTheDeviceItNames) {
  TunedTable table;
  std::string why;
  ASSERT_TRUE(parse_table(head + cell, table, why));
  DeviceInfo device;
  device.name = "NVIDIA H200";
  device.compute_capability = 90;
  device.sm_count = 132;
  EXPECT_TRUE(is_for(table, device));
  device.sm_count = 16;
  EXPECT_FALSE(is_for(table, device)) << "a part of that GPU";
  table.sm_count = 0;
  EXPECT_TRUE(is_for(table, device));
  device.name = "NVIDIA H100";
  EXPECT_FALSE(is_for(table, device));
}

TEST(TunedTable, ServesADeviceWithTheSameProcessorToo) {
  TunedTable table;
  table.device = "NVIDIA H100 80GB HBM3";
  table.compute_capability = 90;
  table.sm_count = 132;
  DeviceInfo device;
  device.name = "NVIDIA H200";
  device.compute_capability = 90;
  device.sm_count = 132;
  EXPECT_TRUE(is_for_same_processor(table, device));
  device.sm_count = 114;
  EXPECT_FALSE(is_for_same_processor(table, device)) << "fewer multiprocessors";
  table.sm_count = device.sm_count = 0;
  EXPECT_FALSE(is_for_same_processor(table, device)) << "the table does not say";
}

TEST(SetTunedTable, ATableOfItsOwnComesBeforeThatOfTheSameProcessor) {
  const std::string processor = "compute_capability 7.7\nsm_count 77\n";
  const std::string rest = "activation_quant bfloat16 out aligned 16 4096 ";
  DeviceInfo device;
  device.compute_capability = 77;
  device.sm_count = 77;
  device.name = "own";
  EXPECT_FALSE(has_tuned_table(device));
  ASSERT_TRUE(set_tuned_table("device own\n" + processor + rest + "one_pass_t128_r1_v16=1.00\n").ok());
  ASSERT_TRUE(set_tuned_table("device other\n" + processor + rest + "one_pass_t256_r1_v16=1.00\n").ok());
  EXPECT_EQ(table_for(device)->table.device, "own");
  device.name = "third";
  EXPECT_EQ(table_for(device)->table.device, "other") << "the newest of the same processor";
}

TEST(SetTunedTable, WhatATableHasNoCellsOfIsAskedOfTheSameProcessors) {
  const std::string processor = "compute_capability 7.8\nsm_count 78\n";
  const std::string variant = " 16 4096 one_pass_t128_r1_v16=1.00\n";
  const std::string aligned = "activation_quant bfloat16 out aligned" + variant;
  const std::string unaligned = "activation_quant bfloat16 out unaligned" + variant;
  ASSERT_TRUE(set_tuned_table("device own\n" + processor + aligned + unaligned).ok());
  ASSERT_TRUE(set_tuned_table("device own\n" + processor + aligned).ok()) << "in place of the one before";
  ASSERT_TRUE(set_tuned_table("device other\n" + processor + aligned + unaligned).ok());
  DeviceInfo device;
  device.compute_capability = device.sm_count = 78;
  device.name = "own";
  Point point;
  point.op = Operation::activation_quant;
  EXPECT_EQ(table_for(device, point)->table.device, "own");
  point.aligned = false;
  EXPECT_EQ(table_for(device, point)->table.device, "other");
  point.op = Operation::weight_quant;
  EXPECT_EQ(table_for(device, point), nullptr);
}

TEST(TunedTable, FilesAreNamedAfterTheDevice) {
  EXPECT_EQ(file_name("NVIDIA H200"), "nvidia_h200.table");
  EXPECT_EQ(file_name("host"), "host.table");
  EXPECT_EQ(file_name("AZaz09/:@[`{"), "azaz09______.table");
}

TEST(CompiledTables, AllAreUsableAndNamedAfterTheirDevice) {
  std::set<std::string> files, names;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(NORMQUANT_SOURCE_DIR) + "/kernels/choice")) {
    if (entry.path().extension() == ".table") files.insert(entry.path().filename().string());
  }
  for (std::string_view text : compiled_tables()) {
    TunedTable table;
    std::string why;
    ASSERT_TRUE(parse_table(text, table, why)) << why;
    names.insert(file_name(table.device));
    const Status status = set_tuned_table(text);
    EXPECT_TRUE(status.ok()) << table.device << ": " << status.message;
  }
  EXPECT_EQ(files, names);
  EXPECT_EQ(compiled_tables().size(), files.size());
}

TEST(SetTunedTable, RefusesWhatThisBuildCannotUse) {
  const Status malformed = set_tuned_table("hello");
  EXPECT_EQ(malformed.code, StatusCode::invalid_argument);
  EXPECT_NE(malformed.message.find("line 1"), std::string::npos) << malformed.message;
  const Status unknown = set_tuned_table("device somewhere\n" + cell);
  EXPECT_EQ(unknown.code, StatusCode::invalid_argument);
  EXPECT_NE(unknown.message.find("no variant called first"), std::string::npos) << unknown.message;
  for (const char* op : {"norm_quant_forward bfloat16 rms+out", "norm_quant_backward bfloat16 rms+out",
                         "activation_quant bfloat16 out", "weight_quant bfloat16 out"}) {
    const Status of_op = set_tuned_table("device somewhere\n" + std::string(op) + " aligned 16 4096 none_such=1.00\n");
    EXPECT_NE(of_op.message.find("no variant called none_such"), std::string::npos) << op << ": " << of_op.message;
  }
  EXPECT_EQ(parse_form(Operation::norm_quant_forward, "rms+hello"), std::nullopt);
  EXPECT_EQ(parse_form(Operation::norm_quant_forward, "hello+out"), std::nullopt);
  DeviceInfo device;
  device.name = "somewhere";
  EXPECT_FALSE(has_tuned_table(device)) << "a refused table is not used";
}

}  // namespace
}  // namespace normquant::choice
