// Cases: an operation, a shape, a type and a form as a problem that is timed.
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/cases.hpp"
#include "bench/sweeps.hpp"

namespace normquant::bench {
namespace {

using validate::Problem;

TEST(Cases, EveryFormOfEveryOperationMakesACase) {
  for (Operation op : all_operations) {
    ASSERT_FALSE(forms_of(op).empty());
    for (std::string_view form : forms_of(op)) {
      const auto made = make_case(op, {3, 5}, DType::float16, form);
      ASSERT_TRUE(made) << form;
      EXPECT_EQ(made->problem.rows, 3);
      EXPECT_EQ(made->problem.columns, 5);
      EXPECT_EQ(made->problem.x, DType::float16);
    }
  }
  EXPECT_FALSE(make_case(Operation::norm_quant_forward, {3, 5}, DType::float16, "sideways"));
}

TEST(Cases, ValuesAreActivationsUnlessTheFormNamesOthers) {
  const auto values = [](Operation op, std::string_view form) {
    return make_case(op, {2, 8}, DType::bfloat16, form)->problem.values;
  };
  EXPECT_EQ(values(Operation::norm_quant_forward, "rms"), validate::Values::activations);
  EXPECT_EQ(values(Operation::weight_quant, "out"), validate::Values::normal) << "weights are no activations";
  EXPECT_EQ(values(Operation::norm_quant_forward, "rms+zeros"), validate::Values::zeros);
  EXPECT_EQ(values(Operation::weight_quant, "packed+constant"), validate::Values::constant);
  const auto both = make_case(Operation::norm_quant_forward, {2, 8}, DType::bfloat16, "rms+residual+normal");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->problem.values, validate::Values::normal);
  EXPECT_TRUE(both->problem.residual_out);
  EXPECT_EQ(both->form, "rms+residual+normal") << "records of other values have another name";
  for (const char* form : {"zeros", "rms+", "rms+crooked", "+zeros", "rms+zeros+zeros"}) {
    EXPECT_FALSE(make_case(Operation::norm_quant_forward, {2, 8}, DType::bfloat16, form)) << form;
  }
  std::string why;
  const auto sweep =
      parse_sweep(R"({"name":"n","cases":[{"op":"forward","shapes":["2x8"],"forms":["rms","rms+zeros"]}]})", why);
  ASSERT_TRUE(sweep) << why;
  EXPECT_EQ(expand(*sweep).size(), 2U);
}

TEST(Cases, FormsSetTheTensorsTheyAreNamedFor) {
  const auto problem = [](Operation op, std::string_view form) {
    return make_case(op, {2, 8}, DType::bfloat16, form)->problem;
  };
  EXPECT_TRUE(problem(Operation::norm_quant_forward, "rms+residual").residual_out);
  EXPECT_TRUE(problem(Operation::norm_quant_forward, "rms").weight);
  EXPECT_FALSE(problem(Operation::norm_quant_forward, "rms").bias);
  EXPECT_EQ(problem(Operation::norm_quant_forward, "layer").norm, NormKind::layer);
  EXPECT_TRUE(problem(Operation::norm_quant_forward, "layer").bias);
  EXPECT_TRUE(problem(Operation::norm_quant_forward, "codes").codes);
  EXPECT_FALSE(problem(Operation::norm_quant_forward, "codes").out);
  EXPECT_TRUE(problem(Operation::norm_quant_backward, "rms").out) << "the output is recomputed";
  EXPECT_TRUE(problem(Operation::norm_quant_backward, "rms+dresidual").dresidual);
  EXPECT_FALSE(problem(Operation::norm_quant_backward, "rms+no_out").out);
  EXPECT_TRUE(problem(Operation::weight_quant, "packed").packed);
  for (Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward}) {
    Problem shifted = problem(op, "rms+unaligned");
    EXPECT_EQ(shifted.offset, 1);
    shifted.offset = 0;
    EXPECT_EQ(shifted, problem(op, "rms")) << "but for its pointers it is rms, to be compared with it";
  }
}

TEST(Cases, NamesSayEverything) {
  const Case timed = *make_case(Operation::norm_quant_forward, {16, 4096}, DType::bfloat16, "rms+residual");
  EXPECT_EQ(case_name(timed, "one_pass_w4"), "norm_quant_forward/one_pass_w4/16x4096/bfloat16/rms+residual");
}

TEST(Cases, ASweepThatNamesNoFormsHasTheUsualOnes) {
  using Forms = std::vector<std::string>;
  EXPECT_EQ(usual_forms_of(Operation::norm_quant_forward),
            (Forms{"rms", "rms+residual", "layer", "codes", "rms+unaligned"}));
  EXPECT_EQ(usual_forms_of(Operation::activation_quant), (Forms{"out", "codes"}));
  std::string why;
  const auto sweep = parse_sweep(R"({"name":"n","cases":[{"op":"activation_quant","shapes":["2x8"]}]})", why);
  ASSERT_TRUE(sweep) << why;
  EXPECT_EQ(expand(*sweep).size(), 2U);
}

}  // namespace
}  // namespace normquant::bench
