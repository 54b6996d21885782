// No attack on a GPU succeeds either. Skipped, with the reason, where there is none.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <normquant/device.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using nlohmann::json;
using tests::Answer;
using tests::run_program;

struct GpuExpected {
  std::string name, verdict, reason;
};

const std::vector<GpuExpected>& gpu_expected() {
  static const std::vector<GpuExpected> all = {
      {"is_honest", "pass", ""},
      {"skips_when_filled", "wrong", "while it was timed"},
      {"works_on_poison_only", "wrong", "while it was timed"},
      {"caches_by_pointer", "wrong", "while it was timed"},
      {"caches_by_value", "error", "it keeps results"},
      {"honest_at_first", "wrong", "while it was timed"},
      {"honest_now_and_then", "wrong", "while it was timed"},
      {"honest_outside_of_graphs", "wrong", "while it was timed"},
      {"works_on_another_stream", "wrong", ""},
      {"works_after_the_event", "wrong", ""},
      {"returns_a_constant", "wrong", "before timing"},
      {"copies_its_input", "wrong", "before timing"},
      {"writes_samples", "wrong", "before timing"},
      {"zeroes_its_input", "wrong", "before timing"},
      {"does_nothing", "wrong", "before timing"},
      {"hangs", "error", "was not done within 15 s"},
      {"crashes", "error", ""},
      {"exits", "error", "ended its process with status 0 before it was done"},
      {"asks_for_all_memory", "error", "bytes of scratch memory; the most is"}};
  return all;
}

TEST(GpuAttacks, NoneIsTimedWithoutWork) {
  std::string why;
  if (cuda_device_count(why) == 0) GTEST_SKIP() << why;
  const tests::ScratchFolder scratch("gpu_attacks");
  const std::string file = scratch.file("t.jsonl");
  const Answer r = run_program("bench --device cuda --op activation_quant --shape 1024x4096 --dtype float32 --plugin " +
                               std::string(NORMQUANT_BUILD_DIR) + "/tests/attacks/attacks_gpu.so " +
                               "--variant '^gpu_attack:' --plugin-timeout 15 --out " + file);
  EXPECT_EQ(r.status, 1) << r.output;
  std::map<std::string, json> records;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    if (record["kind"] == "timing" && record["form"] == "out") records[record["variant"].get<std::string>()] = record;
  }
  for (const GpuExpected& attack : gpu_expected()) {
    const json& record = records["gpu_attack:" + attack.name];
    EXPECT_EQ(record.value("verdict", ""), attack.verdict) << record.dump();
    EXPECT_NE(record.value("reason", "").find(attack.reason), std::string::npos) << record.dump();
  }
}

}  // namespace
}  // namespace normquant
