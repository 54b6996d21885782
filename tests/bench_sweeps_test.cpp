// Sweeps, plans and the device option: what the command line and sweep files are turned into.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>

#include "bench/plan.hpp"
#include "bench/sweeps.hpp"

namespace normquant::bench {
namespace {

using validate::Shape;

const Sweep& sweep_named(const std::string& name) {
  const auto& sweeps = named_sweeps();
  return *std::find_if(sweeps.begin(), sweeps.end(), [&](const Sweep& sweep) { return sweep.name == name; });
}

bool times_shape(const Sweep& sweep, Shape shape) {
  const std::vector<Case> cases = expand(sweep);
  return std::any_of(cases.begin(), cases.end(), [&](const Case& timed) {
    return timed.problem.rows == shape.rows && timed.problem.columns == shape.columns;
  });
}

TEST(NamedSweeps, NoneIsEmptyAndAllNamesDiffer) {
  std::set<std::string> names;
  for (const Sweep& sweep : named_sweeps()) {
    EXPECT_FALSE(expand(sweep).empty()) << sweep.name;
    EXPECT_FALSE(sweep.about.empty()) << sweep.name;
    EXPECT_TRUE(names.insert(sweep.name).second) << sweep.name;
  }
  for (const char* name :
       {"quick", "host", "models", "decode", "training", "anchors", "edges", "standing", "tuning", "held_out"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(NamedSweeps, HoldThePublishedShapes) {
  for (const PublishedModel& model : published_models()) {
    EXPECT_FALSE(model.source.empty()) << model.name;
    for (std::int64_t width : model.widths) {
      EXPECT_TRUE(times_shape(sweep_named("models"), {8192, width})) << model.name;
      EXPECT_TRUE(times_shape(sweep_named("decode"), {1, width})) << model.name;
      EXPECT_TRUE(times_shape(sweep_named("decode"), {256, width})) << model.name;
      EXPECT_TRUE(times_shape(sweep_named("training"), {2048, width})) << model.name;
      EXPECT_TRUE(times_shape(sweep_named("training"), {65536, width})) << model.name;
    }
  }
  for (std::int64_t width : {1024, 2048, 2560, 3584, 4096, 6912, 8192, 14336, 18944, 28672}) {
    EXPECT_TRUE(times_shape(sweep_named("models"), {16, width})) << width;
  }
}

TEST(NamedSweeps, AnchorsHoldTheMeasuredShapes) {
  for (const Shape shape : {Shape{1, 4096}, Shape{1024, 4096}, Shape{4096, 1024}, Shape{8192, 2560}, Shape{16384, 4096},
                            Shape{4096, 11008}, Shape{4096, 16384}}) {
    EXPECT_TRUE(times_shape(sweep_named("anchors"), shape));
  }
}

std::set<std::string> case_names(const std::string& sweep) {
  std::set<std::string> names;
  for (const Case& timed : expand(sweep_named(sweep))) names.insert(case_name(timed, ""));
  return names;
}

TEST(NamedSweeps, StandingHoldsWhatItsTargetsCompareWith) {
  const std::set<std::string> names = case_names("standing");
  for (const char* one : {"norm_quant_forward//128x4096/bfloat16/layer", "norm_quant_forward//4x1048576/bfloat16/rms",
                          "norm_quant_forward//16384x1024/float32/rms", "norm_quant_backward//4096x4096/float16/rms",
                          "weight_quant//14336x4096/bfloat16/packed", "activation_quant//1024x4096/bfloat16/codes"}) {
    EXPECT_TRUE(names.count(one)) << one;
  }
  for (const Case& timed : expand(sweep_named("standing"))) {
    if (timed.form != "rms+unaligned") continue;
    const Case aligned = {timed.problem, "rms"};
    EXPECT_TRUE(names.count(case_name(aligned, ""))) << case_name(timed, "");
  }
  for (const char* neighbour : {"16x4096", "4096x4096", "4096x8192", "8192x1024", "65536x256"}) {
    EXPECT_TRUE(names.count("norm_quant_forward//" + std::string(neighbour) + "/bfloat16/rms")) << neighbour;
  }
}

TEST(NamedSweeps, HeldOutShapesAreNotTunedOn) {
  const std::set<std::string> tuned = case_names("tuning");
  EXPECT_LT(tuned.size(), 420U) << "each is timed with ten variants: more do not fit a session on a GPU";
  for (const std::string& name : case_names("held_out")) EXPECT_FALSE(tuned.count(name)) << name;
}

TEST(NamedSweeps, QuickAndHostTouchEveryOperation) {
  for (const char* name : {"quick", "host"}) {
    for (Operation op : all_operations) {
      EXPECT_FALSE(expand(narrowed(sweep_named(name), {{op}, {}, {}})).empty()) << name;
    }
  }
}

TEST(NamedSweeps, HostIsTiny) {
  for (const Case& timed : expand(sweep_named("host"))) EXPECT_LE(timed.problem.rows * timed.problem.columns, 4096);
}

TEST(ParseSweep, ReadsAxesAsAProduct) {
  std::string why;
  const auto sweep = parse_sweep(R"({"name": "mine", "about": "two groups", "cases": [
      {"op": "forward", "shapes": ["1x4096", "2x64"], "dtypes": ["bf16", "float32"], "forms": ["rms", "layer"]},
      {"op": "norm_quant_backward", "rows": [2, 4], "columns": [8, 16]}]})",
                                 why);
  ASSERT_TRUE(sweep) << why;
  EXPECT_EQ(sweep->name, "mine");
  const std::vector<Case> cases = expand(*sweep);
  EXPECT_EQ(cases.size(), std::size_t{8} + 4 * usual_forms_of(Operation::norm_quant_backward).size());
  EXPECT_EQ(case_name(cases[0], "v"), "norm_quant_forward/v/1x4096/bfloat16/rms");
  EXPECT_TRUE(times_shape(*sweep, {4, 16}));
}

TEST(ParseSweep, TheLayersShapesMaySayKOut) {
  std::string why;
  const auto sweep = parse_sweep(
      R"({"cases": [{"op": "bit_linear_forward", "shapes": ["2x4x8", "2x4", "2x4x4"], "forms": ["rms"]}]})", why);
  ASSERT_TRUE(sweep) << why;
  const std::vector<Case> cases = expand(*sweep);
  ASSERT_EQ(cases.size(), 2U) << "a K_out like K_in is the same case";
  EXPECT_EQ(cases[0].problem.outputs(), 8);
  EXPECT_EQ(shape_text(cases[0].problem), "2x4x8");
  EXPECT_FALSE(make_case(Operation::norm_quant_forward, {2, 4, 8}, DType::bfloat16, "rms"));
}

TEST(ParseSweep, EachCaseComesOnce) {
  std::string why;
  const auto sweep = parse_sweep(R"({"cases": [{"op": "forward", "shapes": ["2x4", "2x4"], "forms": ["rms"]},
                                               {"op": "norm_quant_forward", "shapes": ["2x4"], "forms": ["rms"]}]})",
                                 why);
  ASSERT_TRUE(sweep) << why;
  EXPECT_EQ(expand(*sweep).size(), 1U);
}

TEST(ParseSweep, MalformedTextsGetASentence) {
  const char* malformed[] = {"",
                             "not json",
                             "[]",
                             "{}",
                             R"({"cases": []})",
                             R"({"cases": {}})",
                             R"({"cases": [3]})",
                             R"({"name": 3, "cases": [{"op": "forward", "shapes": ["1x1"]}]})",
                             R"({"cases": [{"shapes": ["1x1"]}]})",
                             R"({"cases": [{"op": "sideways", "shapes": ["1x1"]}]})",
                             R"({"cases": [{"op": "forward"}]})",
                             R"({"cases": [{"op": "forward", "shapes": []}]})",
                             R"({"cases": [{"op": "forward", "shapes": "1x1"}]})",
                             R"({"cases": [{"op": "forward", "shapes": [11]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["0x"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["-1x4"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["1e9x1e9"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["0x4"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["2x4x8"]}]})",
                             R"({"cases": [{"op": "bit_linear_forward", "shapes": ["2x4x0"]}]})",
                             R"({"cases": [{"op": "bit_linear_forward", "shapes": ["2x4x8x16"]}]})",
                             R"({"cases": [{"op": "forward", "rows": [1]}]})",
                             R"({"cases": [{"op": "forward", "rows": [1.5], "columns": [4]}]})",
                             R"({"cases": [{"op": "forward", "rows": [-1], "columns": [4]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["1x1"], "dtypes": ["int7"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["1x1"], "forms": ["packed"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["1x1"], "form": ["rms"]}]})",
                             R"({"cases": [{"op": "forward", "shapes": ["1x1"]}], "extra": 1})"};
  for (const char* text : malformed) {
    std::string why;
    EXPECT_FALSE(parse_sweep(text, why)) << text;
    EXPECT_FALSE(why.empty()) << text;
  }
}

TEST(ParseSweep, AxesAsProductOrAsPairs) {
  std::string why;
  const char* axes = R"("op": "forward", "rows": [1, 2, 3], "columns": [10, 20, 30], "forms": ["rms"])";
  const auto names = [&](const std::string& more) {
    std::string all;
    const auto sweep = parse_sweep(std::string("{\"cases\": [{") + axes + more + "}]}", why);
    if (!sweep) return "refused: " + why;
    for (const Case& timed : expand(*sweep)) all += shape_text(timed.problem) + " ";
    return all;
  };
  EXPECT_EQ(names(""), "1x10 2x10 3x10 1x20 2x20 3x20 1x30 2x30 3x30 ");
  EXPECT_EQ(names(", \"zip\": false"), names(""));
  EXPECT_EQ(names(", \"zip\": true"), "1x10 2x20 3x30 ");
  EXPECT_NE(names(", \"zip\": 1").find("true or false"), std::string::npos);
  EXPECT_FALSE(parse_sweep(R"({"cases": [{"op": "forward", "rows": [1, 2], "columns": [4], "zip": true}]})", why));
  EXPECT_NE(why.find("pairs 2 rows with 1 columns"), std::string::npos) << why;
}

TEST(Shard, PartsAreDisjointAndWholeCases) {
  std::string why;
  PlanRequest request;
  request.sweep = "host";
  const VariantNames two = [](Operation) { return std::vector<std::string>{"first", "second"}; };
  const auto plan = make_plan(request, two, why);
  ASSERT_TRUE(plan);
  std::set<std::int64_t> seen;
  for (int number = 1; number <= 3; ++number) {
    const auto part = part_of(*plan, {number, 3});
    EXPECT_EQ(part.size() % 2, 0U) << "a case's variants stay together";
    for (const PlannedCase& planned : part) EXPECT_TRUE(seen.insert(planned.index).second);
  }
  EXPECT_EQ(seen.size(), plan->size());
  for (const char* bad : {"", "1", "0/3", "4/3", "1/0", "a/b", "1/3x", "-1/3", "1/100001"}) {
    EXPECT_FALSE(parse_shard(bad, why)) << bad;
  }
}

TEST(FindSweep, ByNameByFileOrASentence) {
  std::string why;
  EXPECT_TRUE(find_sweep("quick", why));
  EXPECT_FALSE(find_sweep("no_such_sweep", why));
  EXPECT_NE(why.find("quick"), std::string::npos) << "the sentence lists the names: " << why;
  EXPECT_FALSE(find_sweep(".", why)) << "a folder is not a sweep";

  const std::string path = testing::TempDir() + "sweep.json";
  std::ofstream(path) << R"({"cases": [{"op": "forward", "shapes": ["2x4"]}]})";
  const auto sweep = find_sweep(path, why);
  ASSERT_TRUE(sweep) << why;
  EXPECT_EQ(expand(*sweep).size(), usual_forms_of(Operation::norm_quant_forward).size());
  std::ofstream(path) << "{";
  EXPECT_FALSE(find_sweep(path, why));
  EXPECT_NE(why.find("malformed"), std::string::npos) << why;
  std::remove(path.c_str());
}

std::vector<std::string> two_variants(Operation) { return {"first", "second"}; }

TEST(Plan, VariantsOfOneCaseStandSideBySide) {
  PlanRequest request;
  request.ops = {"forward"};
  request.shapes = {"2x4"};
  std::string why;
  const auto plan = make_plan(request, two_variants, why);
  ASSERT_TRUE(plan) << why;
  ASSERT_EQ(plan->size(), 2 * usual_forms_of(Operation::norm_quant_forward).size());
  EXPECT_EQ((*plan)[0].name(), "norm_quant_forward/first/2x4/bfloat16/rms");
  EXPECT_EQ((*plan)[1].name(), "norm_quant_forward/second/2x4/bfloat16/rms");
}

TEST(Plan, OptionsReplaceTheSweepsAxes) {
  PlanRequest request;
  request.sweep = "decode";
  request.shapes = {"3x7"};
  request.dtypes = {"float32"};
  request.variant = "second";
  std::string why;
  const auto plan = make_plan(request, two_variants, why);
  ASSERT_TRUE(plan) << why;
  EXPECT_EQ(plan->size(), 3U);
  EXPECT_EQ(plan->front().name(), "norm_quant_forward/second/3x7/float32/rms");
}

TEST(Plan, VariantIsAPatternOrAuto) {
  PlanRequest request;
  request.ops = {"activation_quant"};
  request.shapes = {"2x4"};
  std::string why;
  request.variant = "^fir";
  EXPECT_EQ(make_plan(request, two_variants, why)->size(), 2U) << "first only, in two forms";
  request.variant = "s";
  EXPECT_EQ(make_plan(request, two_variants, why)->size(), 4U) << "found anywhere in the name, as validate does";
  request.variant = "auto";
  EXPECT_EQ(make_plan(request, two_variants, why)->front().variant, "auto");
}

TEST(Plan, WhatIsUnknownOrMatchesNothingGetsASentence) {
  const auto refused = [](const PlanRequest& request) {
    std::string why;
    return !make_plan(request, two_variants, why) && !why.empty();
  };
  PlanRequest request;
  request.ops = {"sideways"};
  EXPECT_TRUE(refused(request));
  for (const char* shape : {"0x", "-1x4", "1e9x1e9", "4", "", "0x4", "4x0"}) {
    request = {};
    request.shapes = {shape};
    EXPECT_TRUE(refused(request)) << shape;
  }
  request = {};
  request.dtypes = {"int7"};
  EXPECT_TRUE(refused(request));
  request = {};
  request.sweep = "no_such_sweep";
  EXPECT_TRUE(refused(request));
  request = {};
  request.variant = "third";
  EXPECT_TRUE(refused(request));
  request = {};
  request.variant = "(";
  EXPECT_TRUE(refused(request));
  request = {};
  request.sweep = "decode";
  request.ops = {"weight_quant"};
  EXPECT_TRUE(refused(request));
}

}  // namespace
}  // namespace normquant::bench
