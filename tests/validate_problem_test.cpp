// Problems as text, shapes, suites.
#include <gtest/gtest.h>

#include <set>

#include "validate/cost.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/suite.hpp"

namespace normquant::validate {
namespace {

TEST(Problem, EveryProblemOfEverySuiteComesBackFromItsText) {
  std::string why;
  for (Operation op : all_operations) {
    for (const Case& c : suite_cases(op, SuiteSize::exhaustive, 3, {})) {
      const auto again = parse_problem(to_text(c.problem), why);
      ASSERT_TRUE(again.has_value()) << why;
      EXPECT_EQ(*again, c.problem) << to_text(c.problem);
    }
  }
}

TEST(Problem, SingleTensorsHaveOffsetsAndPaddingsOfTheirOwn) {
  std::string why;
  const std::string text =
      "op=norm_quant_backward shape=1x9 x=float32 seed=2 offset.dy=1 padding.h=3 without=dbias,dweight "
      "with=dequant_scale "
      "at_row=0 at_column=8";
  const auto problem = parse_problem(text, why);
  ASSERT_TRUE(problem) << why;
  EXPECT_EQ(problem->offsets.at("dy"), 1);
  EXPECT_EQ(problem->paddings.at("h"), 3);
  EXPECT_TRUE(problem->without.contains("dweight"));
  EXPECT_EQ(problem->at_column, 8);
  EXPECT_EQ(to_text(*problem), text);
  for (const char* wrong : {"offset.nothing=1", "offset.dy=-1", "padding.h=x", "without=rstd,", "with=", "at_row=-1"}) {
    EXPECT_FALSE(parse_problem(std::string("op=backward shape=1x9 ") + wrong, why)) << wrong;
    EXPECT_NE(why.find(wrong), std::string::npos) << why;
  }
}

TEST(Problem, MalformedTextIsRefusedWithTheWord) {
  for (const char* text :
       {"op=forward", "shape=2x2", "op=sideways shape=2x2", "op=forward shape=2x2 x=int4",
        "op=forward shape=2x2 eps=-1", "op=forward shape=2x2 eps=nan", "op=forward shape=2x2 colour=red",
        "op=forward shape=2x2 offset=-1", "op=forward shape=2x2 codes=yes", "", "op"}) {
    std::string why;
    EXPECT_FALSE(parse_problem(text, why).has_value()) << text;
    EXPECT_FALSE(why.empty()) << text;
  }
}

TEST(Shape, MalformedShapesAreRefused) {
  for (const char* text : {"0x", "x4", "-1x4", "1e9x1e9", "4", "4x4x4", "4 x4", "4x0", "4x-1", "99999999999999999999x1",
                           "1099511627776x2", "4X4", ""}) {
    std::string why;
    EXPECT_FALSE(parse_shape(text, why).has_value()) << text;
    EXPECT_FALSE(why.empty()) << text;
  }
}

TEST(Shape, GoodShapesAreRead) {
  std::string why;
  EXPECT_EQ(parse_shape("0x64", why), (Shape{0, 64}));
  EXPECT_EQ(parse_shape("70000x32768", why), (Shape{70000, 32768}));
  EXPECT_FALSE(parse_shape("2x64x32", why).has_value());
}

TEST(Shape, ThoseOfTheLayerSayKOut) {
  std::string why;
  EXPECT_EQ(parse_any_shape("2x64", why), (Shape{2, 64}));
  EXPECT_EQ(parse_any_shape("2x64x32", why), (Shape{2, 64, 32}));
  EXPECT_EQ(parse_any_shape("0x1x1", why), (Shape{0, 1, 1}));
  for (const char* text : {"2x64x", "2xx32", "2x64x32x1", "x2x64", "2x64x32 ", "1e2x4x4"}) {
    EXPECT_FALSE(parse_any_shape(text, why).has_value()) << text;
    EXPECT_NE(why.find("is not a shape"), std::string::npos) << why;
  }
  for (const char* text :
       {"-1x64x32", "2x0x32", "2x64x0", "1099511627776x1x2", "1x1099511627776x2", "2x2x1099511627776"}) {
    EXPECT_FALSE(parse_any_shape(text, why).has_value()) << text;
    EXPECT_NE(why.find("out of range"), std::string::npos) << why;
  }
}

TEST(Cost, GrowsWithWhatIsAsked) {
  const auto cost = [](Operation op, Shape shape, std::size_t variants, std::int64_t distinct = 0) {
    Job job{{DeviceKind::host, 0}, {}, std::vector<std::string>(variants, "any")};
    job.subject.problem.op = op;
    job.subject.problem.rows = shape.rows, job.subject.problem.columns = shape.columns;
    job.subject.problem.k_out = shape.k_out;
    job.subject.distinct_rows = distinct;
    return cost_of(job);
  };
  const Cost small = cost(Operation::norm_quant_forward, {64, 1024}, 1);
  EXPECT_GT(small.seconds, 0.001);
  EXPECT_LT(small.seconds, 1);
  EXPECT_GT(small.bytes, 64 * 1024 * 8);
  EXPECT_GT(cost(Operation::norm_quant_forward, {64, 1024}, 30).seconds, 10 * small.seconds);
  EXPECT_LT(cost(Operation::norm_quant_forward, {64, 1024}, 1, 7).bytes, small.bytes);
  // The layer's weights cost what they are, whatever the rows.
  EXPECT_GT(cost(Operation::bit_linear_forward, {1, 65536, 65536}, 1).bytes, 65536.0 * 65536 * 10);
}

TEST(Cost, SaysWhatIsTooMuchAndWhatToDo) {
  const Cost cost{8e9, 600};
  EXPECT_EQ(why_not_affordable(cost, 16e9, 3600), "");
  EXPECT_EQ(why_not_affordable(cost, 0, 3600), "") << "a machine that does not say how much memory is free";
  const std::string memory = why_not_affordable(cost, 4e9, 3600), time = why_not_affordable(cost, 16e9, 300);
  EXPECT_NE(memory.find("about 7 GiB of memory, and 4 GiB are free"), std::string::npos) << memory;
  EXPECT_NE(time.find("about 10 minutes here, and 5 minutes are the limit"), std::string::npos) << time;
  for (const std::string& sentence : {memory, time}) EXPECT_NE(sentence.find("--no-limit"), std::string::npos);
  EXPECT_GT(available_memory(), 1e6);
}

TEST(Suite, EveryVariantServesSomeSmokeProblem) {
  // What `validate` checks of itself on every full run; here without running kernels' contents twice.
  for (Operation op : all_operations) {
    std::set<std::string> unserved;
    for (const VariantEntry& v : catalogue(op, DeviceKind::host)) unserved.emplace(v.name);
    auto device = open_host_device();
    for (const Case& c : suite_cases(op, SuiteSize::smoke, 1, {})) {
      std::string why;
      const auto prepared = prepare(c.problem, *device, c.distinct_rows, why);
      ASSERT_NE(prepared, nullptr) << why;
      std::erase_if(unserved, [&](const std::string& name) { return prepared->why_not(prepared->find(name)).empty(); });
    }
    EXPECT_TRUE(unserved.empty()) << *unserved.begin();
  }
}

}  // namespace
}  // namespace normquant::validate
