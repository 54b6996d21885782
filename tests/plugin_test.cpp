// Plugins: listed, checked and timed like the library's own variants; their mistakes are found, and broken ones refused.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "run_program.hpp"

namespace normquant {
namespace {

using tests::Answer;
using tests::expect_answer;
using tests::run_program;

const std::string build = NORMQUANT_BUILD_DIR;
const std::string example = " --plugin " + build + "/examples/plugin/row_loop.so";
const std::string mistakes = " --plugin " + build + "/tests/plugins/mistakes.so";

TEST(Plugin, TheExampleIsListed) {
  expect_answer("list --op activation_quant" + example, 0, "example:row_");  // its end is on the next line
  const auto document = nlohmann::json::parse(run_program("list --format json --op activation_quant" + example).output);
  const auto& last = document["operations"][0]["variants"].back();
  EXPECT_EQ(last["name"], "example:row_loop");
  EXPECT_EQ(last["devices"], nlohmann::json::array({"host"}));
  EXPECT_EQ(run_program("list --op activation_quant").output.find("example:"), std::string::npos);
}

TEST(Plugin, TheExamplePassesTheWholeSuiteOrSaysWhyNot) {
  const tests::ScratchFolder folder("plugin");
  const std::string json = folder.file("v.json");
  const Answer r = run_program("validate --suite standard --op activation_quant --variant '^example:'" + example +
                               " --json " + json);
  EXPECT_EQ(r.status, 0) << r.output;
  const auto document = nlohmann::json::parse(std::ifstream(json));
  EXPECT_GT(document["summary"]["passed"], 50);
  EXPECT_GT(document["summary"]["skipped"], 10);
  for (const auto& result : document["results"]) {
    const auto reason = result["reason"].get<std::string>();
    EXPECT_TRUE(reason.starts_with("reads and writes float32 and bfloat16") || reason.starts_with("too large") ||
                reason.starts_with("has int8 by the row's own scale"))
        << reason;
  }
}

TEST(Plugin, TheExampleIsTimed) {
  expect_answer(
      "bench --device host --op activation_quant --variant '^example:' --shape 4x64 --dtype bfloat16" + example, 0,
      "example:row_loop");
}

const std::string plain =
    " --op activation_quant --case 'op=activation_quant shape=5x72 x=float32 out=float32 rounding=half_even "
    "row_padding=8'";

void expect_mistake(const std::string& variant, int status, const std::string& sentence_part,
                    const std::string& problem = plain) {
  expect_answer("validate --variant '^mistakes:" + variant + "$'" + mistakes + problem, status, sentence_part);
}

TEST(Plugin, EveryMistakeIsFound) {
  expect_mistake("none", 0, "1 passed");
  expect_mistake("truncates", 1, "WRONG mistakes:truncates");
  expect_mistake("writes_past_the_row", 1, "after the last row was written to");
  expect_mistake("leaves_the_last_row", 1, "never written");
  expect_mistake("changes_its_input", 1, "x: the input was changed");
  expect_mistake("varies", 1, "other bits");
  expect_mistake("fails", 5, "ERROR mistakes:fails on host: its launch failed: no luck today");
  expect_mistake("skips", 2, "nothing was checked");
  expect_mistake("overruns_its_scratch", 1, "scratch memory: the guard band after the last row was written to");
  expect_mistake("knows_its_address", 1, "a second run, in other memory, gave other bits");
  expect_mistake("counts_launches", 0, "1 passed");
  expect_answer("validate --after-others --variant '^mistakes:counts_launches$'" + mistakes + plain, 1,
                "after 1000 other launches on another stream: out[0,0]");
}

TEST(Plugin, WhatIsReadBesideATensorIsFoundThoughNothingOfItIsUsed) {
  const auto guarded = [](const std::string& side) {
    return plain.substr(0, plain.size() - 1) + " guard=" + side + "'";
  };
  for (const std::string side : {"before", "behind"}) expect_mistake("none", 0, "1 passed", guarded(side));
  expect_mistake(
      "reads_past_the_end", 1,
      "HAZARD mistakes:reads_past_the_end on host: out of bounds: x was read 0 bytes behind the end of its last row",
      guarded("behind"));
  expect_mistake("reads_before_the_start", 1, "out of bounds: x was read 4 bytes before its first element",
                 guarded("before"));
  expect_mistake("writes_past_the_row", 1, "out of bounds: out was written 0 bytes behind the end of its last row",
                 guarded("behind"));
  expect_mistake("reads_past_the_end", 0, "1 passed");  // guard bands show what is written
  const std::string suite = "validate --suite smoke --op activation_quant --variant '^mistakes:reads_";
  expect_answer(suite + "past_the_end$'" + mistakes, 1, "out of bounds: x was read 0 bytes behind");
  expect_answer(suite + "before_the_start$'" + mistakes, 1, "out of bounds: x was read 4 bytes before");
}

TEST(Plugin, AFailureIsReproducedByItsOwnCommand) {
  const Answer r = run_program("validate --variant '^mistakes:truncates$'" + mistakes + plain);
  const std::size_t start = r.output.find("reproduce: normquant ") + 21;
  const std::string command = r.output.substr(start, r.output.find('\n', start) - start);
  EXPECT_NE(command.find("mistakes.so"), std::string::npos) << r.output;
  EXPECT_EQ(run_program(command).status, 1) << command;
}

TEST(Plugin, AnUnreadableReasonIsStillAReason) {
  const tests::ScratchFolder folder("plugin_reason");
  const std::string json = folder.file("v.json");
  EXPECT_EQ(run_program("validate --op activation_quant --shape 2x8 --variant mistakes" + mistakes + " --json " + json)
                .status,
            1);
  EXPECT_TRUE(nlohmann::json::parse(std::ifstream(json))["results"].is_array());
}

TEST(Plugin, BrokenOnesAreRefusedWithASentence) {
  const std::string sentences[] = {
      "normquant_plugin_entry",     "does not serve version", "has version 999", "no variants",
      "name of variant 0",          "no launch function",     "must run on",     "operation 99",
      "two variants are called one"};
  for (std::size_t i = 0; i < std::size(sentences); ++i) {
    expect_answer("list --plugin " + build + "/tests/plugins/broken_" + std::to_string(i + 1) + ".so", 2, sentences[i]);
  }
  expect_answer("validate --plugin /nonexistent.so", 2, "cannot load the plugin /nonexistent.so");
  expect_answer("bench --plugin /etc/hostname", 2, "cannot load the plugin");
  expect_answer("list" + example + example, 2, "loaded already");
  expect_answer("list --plugin /nonexistent.so", 2, "plugin /nonexistent.so: cannot open shared object file");
}

TEST(Plugin, TheLayerIsCheckedAndTimed) {
  const std::string linear = " --plugin " + build + "/tests/plugins/linear.so";
  expect_answer(
      "validate --op bit_linear --dtype float32 --shape 5x64x40 --variant '^linear:(fake|codes|back)$'" + linear, 0,
      " 0 wrong, 0 errors");
  expect_answer(
      "validate --op bit_linear --dtype float32 --shape 5x64x40 --variant '^linear:forgets_the_bias$'" + linear, 1,
      "WRONG linear:forgets_the_bias");
  expect_answer(
      "validate --variant '^linear:forgets_dresidual$' --case 'op=bit_linear_backward shape=5x64 x=float32 "
      "weight=float32 dresidual=float32 out=float32'" +
          linear,
      1, "WRONG linear:forgets_dresidual");
  expect_answer(
      "bench --device host --op bit_linear --dtype float32 --shape 3x48x80 --shape 4x64 "
      "--variant '^linear:(fake|codes|back)$'" +
          linear,
      0, "linear:codes/3x48x80/float32/rms+cached");
}

TEST(Plugin, AnOldOneIsStillLoaded) {
  const std::string old = "--op weight_quant --plugin " + build + "/tests/plugins/old.so";
  expect_answer("list " + old, 0, "old:one");
  const auto document = nlohmann::json::parse(run_program("list --format json " + old).output);
  const auto& one = document["operations"][0]["variants"].back();
  EXPECT_EQ(one["deterministic"], true);
  EXPECT_EQ(one["row_invariant"], false) << "that came with version 3";
  expect_answer("list --plugin " + build + "/tests/plugins/old_with_a_layer.so", 2,
                "names operation 4, which does not exist in version 1 of normquant_plugin.h");
}

TEST(Plugin, OneForGpusOnlySaysSoOnTheHost) {
  const std::string gpu_only = " --plugin " + build + "/tests/plugins/gpu_only.so";
  expect_answer("list --op weight_quant" + gpu_only, 0, "gpu_only:one");
  const std::string sentence = "gpu_only.so runs on CUDA only; give --device cuda";
  expect_answer("validate --op weight_quant --shape 2x8" + gpu_only, 2, sentence);
  expect_answer("bench --device host" + gpu_only, 2, sentence);
}

}  // namespace
}  // namespace normquant
