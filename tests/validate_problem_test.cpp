// Problems as text, shapes, suites.
#include <gtest/gtest.h>

#include <set>

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
      std::erase_if(unserved, [&](const std::string& name) { return prepared->why_not(name).empty(); });
    }
    EXPECT_TRUE(unserved.empty()) << *unserved.begin();
  }
}

}  // namespace
}  // namespace normquant::validate
