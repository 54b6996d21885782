// A plugin that promises row invariance is held to it, and one that does not is not.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using tests::expect_answer;

const std::string rows = " --plugin " NORMQUANT_BUILD_DIR "/tests/plugins/rows.so";
const std::string weighted =
    " --op activation_quant --case 'op=activation_quant shape=5x72 x=float32 out=float32 rounding=half_even'";

void expect_of(const std::string& variant, int status, const std::string& sentence_part) {
  expect_answer("validate --variant '^rows:" + variant + "$'" + rows + weighted, status, sentence_part);
}

TEST(PluginRows, APromiseIsProved) {
  expect_of("keeps_them", 0, "row invariance: promised by 1 variant, looked at in 1");
}

TEST(PluginRows, ABrokenPromiseIsWrong) {
  expect_of("follows_m", 1, "WRONG rows:follows_m on host: the variant promises to keep a row's bits");
  expect_of("follows_m", 1, "row 0 alone (M = 1) and 0x");
  expect_of("follows_m", 1, "in row 0 of M = 130");
  expect_of("follows_place", 1, "in row 7 of M = 8");
  expect_of("follows_neighbours", 1, "in row 2 of M = 8, beside a row with NaN");
  expect_of("follows_alignment", 1, "in tensors of another alignment");
}

TEST(PluginRows, WhoPromisesNothingIsNotJudgedByIt) { expect_of("promises_nothing", 0, "1 passed, 0 wrong"); }

TEST(PluginRows, TheSuitesAskForItByThemselves) {
  const std::string smoke = "validate --op activation_quant --variant '^rows:(keeps_them|follows_m)$'" + rows;
  expect_answer(smoke, 1, "WRONG rows:follows_m on host: the variant promises to keep a row's bits");
  expect_answer("validate --op activation_quant --variant '^rows:keeps_them$'" + rows, 0, "looked at in 1");
}

TEST(PluginRows, TheListAndTheResultsSayIt) {
  expect_answer("list --op activation_quant" + rows, 0, "rows:keeps_them");
  const tests::ScratchFolder folder("plugin_rows");
  const std::string json = folder.file("v.json");
  expect_answer("validate --variant '^rows:keeps_them$'" + rows + weighted + " --json " + json, 0, "1 passed");
  const auto document = nlohmann::json::parse(std::ifstream(json));
  EXPECT_EQ(document["summary"]["row_invariant"], 1);
  EXPECT_EQ(document["summary"]["row_invariance_proved"], 1);
  EXPECT_GT(document["cases"][0]["rows_compared"], 100);
}

}  // namespace
}  // namespace normquant
