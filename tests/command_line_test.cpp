// The program as a user meets it: exit statuses, sentences, files.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <nlohmann/json.hpp>

#include <normquant/device.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using tests::Answer;
using tests::expect_answer;
using tests::run_program;

bool gpu_here() {
  std::string why;
  return cuda_device_count(why) > 0;
}

std::filesystem::path scratch_folder(const std::string& name) {
  auto folder = std::filesystem::temp_directory_path() / ("normquant_" + name + "_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  return folder;
}

TEST(CommandLine, BadArgumentsAreStatusTwoAndASentence) {
  expect_answer("", 2, "subcommand");
  expect_answer("frobnicate", 2, "frobnicate");
  expect_answer("gate", 2, "--baseline");
  EXPECT_EQ(run_program("gate").output.find("does not name"), std::string::npos);
  expect_answer("validate --shape 0x", 2, "'0x' is not a shape");
  expect_answer("validate --shape=-1x4", 2, "out of range");
  expect_answer("validate --shape 1e9x1e9", 2, "not a shape");
  expect_answer("validate --variant no_such_variant", 2, "nothing matched");
  expect_answer("validate --variant '('", 2, "regular expression");
  expect_answer("validate --op sideways", 2, "sideways");
  expect_answer("validate --dtype int4", 2, "int4");
  expect_answer("validate --suite tiny", 2, "tiny");
  expect_answer("validate --device tpu", 2, "tpu");
  expect_answer("validate --device cuda:x", 2, "cuda:x");
  expect_answer("validate --case 'op=forward shape=2x2 x=int4'", 2, "x=int4");
  expect_answer("validate --seed many", 2, "seed");
  expect_answer("list --op sideways", 2, "sideways");
}

TEST(CommandLine, ShapesOfTheLayerAreItsOwn) {
  expect_answer("validate --op bit_linear --shape 4x64", 2, "MxK_inxK_out, as in 16x4096x4096");
  expect_answer("validate --op forward --shape 4x64x32", 2, "norm_quant_forward has shapes MxN");
  expect_answer("validate --shape 4x64x", 2, "is not a shape");
  const Answer layer = run_program("validate --shape 2x64x24 --dtype bfloat16 --list");
  EXPECT_EQ(layer.status, 0) << layer.output;
  EXPECT_NE(layer.output.find("op=bit_linear_forward shape=2x64"), std::string::npos) << layer.output;
  EXPECT_NE(layer.output.find("k_out=24"), std::string::npos) << layer.output;
  EXPECT_EQ(layer.output.find("op=norm_quant_forward"), std::string::npos) << layer.output;
  const Answer rows = run_program("validate --shape 2x8 --dtype float32 --variant two_pass");
  EXPECT_EQ(rows.status, 0) << rows.output;
  EXPECT_NE(rows.output.find("left out: bit_linear_forward, whose shapes are MxK_inxK_out"), std::string::npos)
      << rows.output;
}

TEST(CommandLine, WhatWouldTakeTooLongOrTooMuchMemoryIsSaidBeforeItStarts) {
  expect_answer("validate --op forward --shape 1000000x100000", 2, "--no-limit");
  expect_answer("validate --op bit_linear --shape 1x1000000x1000000", 2, "of memory");
  expect_answer("validate --op forward --shape 64x512 --most-minutes 0.0001", 2, "are the limit");
  expect_answer("validate --op forward --shape 2x16 --dtype float32 --no-limit --most-minutes 0.00001", 0, "0 wrong");
}

TEST(CommandLine, OneElementIsNoShareAndANanWithItsSignIsWritten) {
  expect_answer("validate --shape 1x1 --dtype float32", 0, "0 wrong");
  expect_answer("validate --op forward --shape 100x1 --dtype bfloat16 --variant '^striped_e8$'", 0, "0 wrong");
  expect_answer(
      "validate --variant '^two_pass_t1024_v1$' --case 'op=norm_quant_forward shape=4x520 x=float32 weight=float32 "
      "out=float32 codes=1 values=nan_weight seed=2'",
      0, "1 passed");
}

TEST(CommandLine, AMissingGpuIsSaid) {
  if (gpu_here()) {
    expect_answer("validate --device cuda:99 --shape 2x8", 77, "99");
    return;
  }
  for (const char* command :
       {"validate --device cuda", "validate --device cuda:3", "bench --device cuda", "bench --device cuda --self-test",
        "tune --device cuda", "products --device cuda", "oracle --device cuda"}) {
    expect_answer(command, 77, "GPU");
  }
  expect_answer("validate --device all --require-gpu", 77, "GPU");
  const Answer all = run_program("validate --device all --op forward --shape 2x16 --dtype float32");
  EXPECT_EQ(all.status, 0) << all.output;
  EXPECT_NE(all.output.find("no GPU"), std::string::npos) << all.output;
}

TEST(CommandLine, ASkippedQuestionIsNotPassed) {
  // N = 3 cannot be cut into packets, so this variant skips every feature at this shape.
  const Answer r = run_program("validate --op forward --variant '^one_pass_e8$' --shape 2x3 --dtype bfloat16");
  EXPECT_EQ(r.status, 2) << r.output;
  EXPECT_NE(r.output.find("nothing was checked"), std::string::npos) << r.output;
}

TEST(CommandLine, ACaseThatContradictsItselfOrOtherOptionsIsRefused) {
  const std::string problem = "op=activation_quant shape=2x8 x=float32";
  expect_answer("validate --case '" + problem + " out=float32'", 0, "0 wrong");
  expect_answer("validate --case '" + problem + "'", 2, "asks for no output; add out=bfloat16 or codes=1");
  expect_answer("validate --case '" + problem + " out=float32 shape=3x8'", 2, "a problem has 'shape' once");
  expect_answer("validate --op forward --case '" + problem + " out=float32'", 2, "--op asks for others");
  expect_answer("validate --op activation_quant --case '" + problem + " out=float32'", 0, "0 wrong");
  expect_answer("validate --shape 3x8 --case '" + problem + " out=float32'", 2, "leave --shape and --dtype out");
}

TEST(CommandLine, ASkipSaysWhy) {
  const auto folder = scratch_folder("skips");
  const std::string junit = (folder / "v.xml").string();
  const std::string one = "--op forward --variant '^one_pass_e8$' --shape 2x3 --dtype bfloat16";
  const std::string reason = "multiple of 8";
  expect_answer("validate " + one + " --junit " + junit, 2, reason);
  std::stringstream xml;
  xml << std::ifstream(junit).rdbuf();
  EXPECT_NE(xml.str().find(reason), std::string::npos) << xml.str();
  expect_answer("bench --device host " + one, 2, reason);
  const Answer some =
      run_program("validate --op forward --variant '^(one_pass_e8|striped_e8)$' --shape 2x3 --dtype bfloat16");
  EXPECT_EQ(some.status, 0) << some.output;
  EXPECT_NE(some.output.find(reason), std::string::npos) << "also where others passed: " << some.output;
}

TEST(CommandLine, UnwritableResultFilesAreRefusedBeforeAnyWork) {
  expect_answer("validate --op forward --shape 2x16 --json /nonexistent/folder/file.json", 5, "cannot write");
}

TEST(CommandLine, ValidateWritesJsonAndJunit) {
  const auto folder = scratch_folder("validate");
  const auto json_file = folder / "v.json", junit_file = folder / "v.xml";
  const Answer r = run_program("validate --op forward --variant v16 --shape 3x20 --dtype bfloat16 --json " +
                               json_file.string() + " --junit " + junit_file.string());
  EXPECT_EQ(r.status, 2) << r.output;  // 20 is no multiple of 8: all skipped, and named so
  const auto document = nlohmann::json::parse(std::ifstream(json_file));
  EXPECT_EQ(document["schema"], "normquant.validate/1");
  EXPECT_EQ(document["summary"]["passed"], 0);
  EXPECT_GT(document["summary"]["skipped"], 0);
  EXPECT_NE(document["results"][0]["reason"].get<std::string>().find("multiple of 8"), std::string::npos);
  std::int64_t skipped = 0;
  for (const auto& group : document["skipped"]) {
    EXPECT_FALSE(group["reason"].get<std::string>().empty());
    skipped += group["cases"].get<std::int64_t>();
  }
  EXPECT_EQ(skipped, document["summary"]["skipped"]);
  EXPECT_TRUE(document["cases"].empty());
  std::stringstream junit;
  junit << std::ifstream(junit_file).rdbuf();
  EXPECT_NE(junit.str().find("<skipped message="), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST(CommandLine, ResultFilesNameTheGpuThatIsNotThereAndTheAmbiguityOfEveryCase) {
  if (gpu_here()) GTEST_SKIP() << "there is a GPU here";
  const auto folder = scratch_folder("left_out");
  const auto json_file = folder / "v.json", junit_file = folder / "v.xml";
  const Answer r =
      run_program("validate --device all --op activation_quant --variant auto --shape 3x20 --dtype bfloat16 --json " +
                  json_file.string() + " --junit " + junit_file.string());
  EXPECT_EQ(r.status, 0) << r.output;
  const auto document = nlohmann::json::parse(std::ifstream(json_file));
  EXPECT_NE(document["summary"]["left_out"].get<std::string>().find("no GPU"), std::string::npos);
  EXPECT_EQ(document["cases"].size(), document["summary"]["passed"].get<std::size_t>());
  for (const auto& one : document["cases"]) {
    EXPECT_GT(one["codes_checked"], 0) << one;
    EXPECT_TRUE(one["codes_ambiguous"].is_number()) << one;
  }
  std::stringstream junit;
  junit << std::ifstream(junit_file).rdbuf();
  EXPECT_NE(junit.str().find("classname=\"cuda\" name=\"every case\"><skipped message=\"no GPU"), std::string::npos);
  EXPECT_NE(junit.str().find("<property name=\"two_admissible\""), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST(CommandLine, ACasePrintedByListRunsAlone) {
  const Answer listed = run_program("validate --op backward --list");
  ASSERT_EQ(listed.status, 0);
  const std::size_t line = listed.output.find("\nhost op=") + 6;
  const std::string text = listed.output.substr(line, listed.output.find('\n', line) - line);
  const Answer alone = run_program("validate --variant '^two_pass_t1024_v1$' --case '" + text + "'");
  EXPECT_EQ(alone.status, 0) << text << "\n" << alone.output;
  EXPECT_NE(alone.output.find("1 passed, 0 wrong"), std::string::npos) << alone.output;
}

TEST(CommandLine, DryRunNamesEveryCaseAndVariantAndRunsNothing) {
  const Answer r = run_program("validate --op weight_quant --dry-run");
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.output.find("host two_pass_t256_v1 op=weight_quant"), std::string::npos);
  EXPECT_EQ(r.output.find("passed"), std::string::npos);
}

TEST(CommandLine, AutoIsValidatedAtEveryShape) {
  const Answer r = run_program("validate --variant auto --op forward --shape 3x17 --shape 2x4096 --dtype float16");
  EXPECT_EQ(r.status, 0) << r.output;
  EXPECT_NE(r.output.find(" 0 skipped"), std::string::npos) << r.output;
}

TEST(CommandLine, ListNamesEveryOperationAsTableAndJson) {
  const Answer table = run_program("list");
  EXPECT_EQ(table.status, 0);
  const Answer as_json = run_program("list --format json");
  const auto document = nlohmann::json::parse(as_json.output);
  EXPECT_EQ(document["operations"].size(), 6U);
  for (const auto& op : document["operations"]) {
    EXPECT_NE(table.output.find(op["name"].get<std::string>()), std::string::npos);
    EXPECT_FALSE(op["variants"].empty());
  }
}

}  // namespace
}  // namespace normquant
