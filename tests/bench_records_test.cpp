// What bench writes and prints: timing records, record files, the environment, the closing table, progress.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "bench/environment.hpp"
#include "bench/progress.hpp"
#include "bench/summary_table.hpp"
#include "bench/timing_record.hpp"
#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::bench {
namespace {

TimingRecord timed(const std::string& variant, double median_us) {
  TimingRecord record;
  record.timed = *make_case(Operation::norm_quant_forward, {16, 4096}, DType::bfloat16, "rms");
  record.variant = variant;
  record.auto_variant = "one_pass";
  record.time_kind = "steady";
  record.outcome = validate::Outcome::pass;
  record.samples = std::vector<double>(20, median_us);
  record.summary = summarise(record.samples);
  record.stop = Stop::precise;
  record.bytes = 2'000'000;
  record.copy_us = 1.0;
  record.copy_way = "memcpy";
  return record;
}

TimingRecord ended(validate::Outcome outcome, const std::string& reason) {
  TimingRecord record = timed("one_pass", 1);
  record.outcome = outcome;
  record.reason = reason;
  return record;
}

TEST(TimingRecord, JsonHasItsKeys) {
  const auto line = to_json(timed("one_pass", 2.0));
  for (const char* key :
       {"kind",         "op",      "variant",   "auto_variant", "shape",    "rows",    "columns",         "dtype",
        "form",         "problem", "time_kind", "verdict",      "reason",   "bytes",   "requested_bytes", "median_us",
        "q1_us",        "q3_us",   "min_us",    "stop_reason",  "drifting", "samples", "gb_per_s",        "copy_us",
        "share_of_copy"}) {
    EXPECT_TRUE(line.contains(key)) << key;
  }
  EXPECT_EQ(line["kind"], "timing");
  EXPECT_EQ(line["shape"], "16x4096");
  EXPECT_EQ(line["median_us"], 2.0);
  EXPECT_EQ(line["gb_per_s"], 1000.0);
  EXPECT_EQ(line["share_of_copy"], 0.5);
  EXPECT_EQ(line["samples"].size(), 20U);
  EXPECT_EQ(line["stop_reason"], "precise");
}

TEST(TimingRecord, StreamsAreThereWhereTheyWereAskedFor) {
  TimingRecord record = timed("one_pass", 2.0);
  for (const char* key : {"streams_us", "streams_way", "share_of_streams"}) EXPECT_FALSE(to_json(record).contains(key));
  record.streams_us = 1.5;
  record.streams_way = "streams_256x1";
  const auto line = to_json(record);
  EXPECT_EQ(line["share_of_streams"], 0.75);
  const TimingRecord read = record_from_json(line, record.timed);
  EXPECT_EQ(read.streams_us, 1.5);
  EXPECT_EQ(read.streams_way, "streams_256x1");
}

TEST(TimingRecord, WhatDidNotPassHasNoTimes) {
  for (validate::Outcome result : {validate::Outcome::skipped, validate::Outcome::wrong, validate::Outcome::error}) {
    const auto line = to_json(ended(result, "because"));
    EXPECT_FALSE(line.contains("median_us"));
    EXPECT_FALSE(line.contains("samples"));
    EXPECT_EQ(line["reason"], "because");
    EXPECT_EQ(line["verdict"], name_of(result));
  }
}

TEST(TimingRecord, HostTimesHaveNoRates) {
  TimingRecord record = timed("one_pass", 2.0);
  record.time_kind = "cpu_execution";
  const auto line = to_json(record);
  EXPECT_EQ(line["time_kind"], "cpu_execution");
  for (const char* key : {"gb_per_s", "copy_us", "share_of_copy"}) EXPECT_FALSE(line.contains(key)) << key;
}

TEST(RecordFile, EveryLineIsThereAtOnce) {
  const std::string path = testing::TempDir() + "records.jsonl";
  RecordFile file;
  file.open(path, output::Existing::replace);
  for (int lines = 1; lines <= 3; ++lines) {
    ASSERT_TRUE(file.write(to_json(timed("one_pass", 2.0))));
    std::ifstream stream(path);  // while the file is still open
    int found = 0;
    for (std::string line; std::getline(stream, line); ++found) EXPECT_TRUE(nlohmann::json::accept(line));
    EXPECT_EQ(found, lines);
  }
  unlink(path.c_str());
}

TEST(RecordFile, HostileReasonsAreStillJson) {
  const std::string path = testing::TempDir() + "hostile.jsonl";
  RecordFile file;
  file.open(path, output::Existing::replace);
  ASSERT_TRUE(file.write(to_json(ended(validate::Outcome::error, "quote \" newline \n not utf-8 \xff <script>"))));
  std::ifstream stream(path);
  std::string line;
  std::getline(stream, line);
  EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  unlink(path.c_str());
}

TEST(RecordFile, UnwritablePlacesGetASentence) {
  RecordFile file;
  try {
    file.open(testing::TempDir() + "no/such/folder/records.jsonl", output::Existing::refuse);
    FAIL() << "it was opened";
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status, exit_infrastructure);
    EXPECT_NE(refusal.sentence.find("cannot write"), std::string::npos) << refusal.sentence;
  }
}

TEST(RecordFile, AFullDiskIsNoticed) {
  RecordFile file;
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  file.open("/dev/full", output::Existing::refuse);
  EXPECT_FALSE(file.write(to_json(timed("one_pass", 2.0))));
  EXPECT_FALSE(file.write(to_json(timed("one_pass", 2.0))));
  EXPECT_NE(file.failure().find("/dev/full"), std::string::npos) << file.failure();
}

TEST(SummaryTable, NamesTheBestVariantAndHowAutoDoes) {
  const std::string table = summary_table({timed("one_pass", 2.1), timed("two_pass", 2.0)});
  EXPECT_NE(table.find("two_pass"), std::string::npos) << table;
  EXPECT_NE(table.find("2.00"), std::string::npos) << table;
  EXPECT_NE(table.find("50%"), std::string::npos) << table;
  EXPECT_NE(table.find("one_pass 1.05x"), std::string::npos) << table;
}

TEST(SummaryTable, SaysWhenAutosChoiceWasNotTimed) {
  const std::string table = summary_table({timed("two_pass", 2.0), ended(validate::Outcome::wrong, "off by one")});
  EXPECT_NE(table.find("one_pass (not timed)"), std::string::npos) << table;
}

TEST(SummaryTable, AutoItselfCounts) {
  EXPECT_NE(summary_table({timed("auto", 2.0)}).find("one_pass 1.00x"), std::string::npos);
}

TEST(SummaryTable, HostTimesAreLabelled) {
  TimingRecord record = timed("one_pass", 2.0);
  record.time_kind = "cpu_execution";
  const std::string table = summary_table({record});
  EXPECT_NE(table.find("CPU execution, not a GPU time"), std::string::npos) << table;
  EXPECT_EQ(table.find("50%"), std::string::npos) << table;
}

TEST(SummaryTable, NothingTimedIsEmpty) {
  EXPECT_EQ(summary_table({}), "");
  EXPECT_EQ(summary_table({ended(validate::Outcome::wrong, "")}), "");
}

TEST(Tally, CountsAndChoosesTheExitStatus) {
  const TimingRecord pass = timed("v", 1), skipped = ended(validate::Outcome::skipped, ""),
                     wrong = ended(validate::Outcome::wrong, ""), error = ended(validate::Outcome::error, "");
  EXPECT_EQ(exit_status_of(tally({pass, skipped})), exit_pass);
  EXPECT_EQ(exit_status_of(tally({pass, error})), exit_infrastructure);
  EXPECT_EQ(exit_status_of(tally({pass, error, wrong})), exit_wrong_results);
  EXPECT_EQ(exit_status_of(tally({skipped})), exit_usage);
  const std::string text = tally_text(tally({pass, skipped, wrong, error}));
  EXPECT_NE(text.find("1 timed, 1 skipped"), std::string::npos) << text;
  EXPECT_NE(text.find("1 WRONG"), std::string::npos) << text;
}

TEST(Environment, HasItsKeysWithAndWithoutAGpu) {
  for (const std::optional<int> gpu : {std::optional<int>(), std::optional<int>(0)}) {
    const auto environment = describe_environment(gpu);
    for (const char* key : {"kind", "suite", "schema", "version", "time", "commit", "build", "cpu", "os", "gpu"}) {
      EXPECT_TRUE(environment.contains(key)) << key;
    }
    EXPECT_EQ(environment["kind"], "environment");
    EXPECT_EQ(environment["suite"], "normquant");
    for (const char* key : {"compiler", "type", "flags", "cuda_compiler", "cuda_architectures"}) {
      EXPECT_TRUE(environment["build"].contains(key)) << key;
    }
    if (environment["gpu"].is_null()) {
      EXPECT_TRUE(environment["gpu_absent"].is_string());
      continue;
    }
    for (const char* key : {"name", "sm_count", "l2_bytes", "ecc", "driver", "cuda_runtime", "sm_clock_mhz",
                            "sm_clock_max_mhz", "memory_clock_mhz", "memory_clock_max_mhz", "power_limit_w"}) {
      EXPECT_TRUE(environment["gpu"].contains(key)) << key;
    }
  }
}

TEST(Environment, TellsNothingAboutWhoseMachineItIs) {
  const std::string text = describe_environment(0).dump() + environment_table(describe_environment(0));
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
  if (std::string(host).size() > 3) {
    EXPECT_EQ(text.find(host), std::string::npos);
  }
  for (const char* path : {"/home/", "/root", "/work", "/tmp", "/usr/"})
    EXPECT_EQ(text.find(path), std::string::npos) << path;
}

TEST(Environment, TableNamesEveryValue) {
  const std::string table = environment_table(describe_environment(std::nullopt));
  for (const char* name : {"commit", "build.compiler", "cpu.model", "os.system", "gpu"}) {
    EXPECT_NE(table.find(name), std::string::npos) << name;
  }
}

TEST(Progress, SaysHowLongIsLeft) {
  EXPECT_EQ(progress_text(0, 10, 0, "case"), "[1/10] case");
  EXPECT_EQ(progress_text(5, 10, 20, "case"), "[6/10] about 20 s left  case");
  EXPECT_EQ(progress_text(1, 11, 60, "case"), "[2/11] about 10 min left  case");
  EXPECT_EQ(progress_text(12, 10, 60, "case"), "[13/13] case") << "more cases than foreseen";
}

}  // namespace
}  // namespace normquant::bench
