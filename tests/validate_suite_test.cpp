// Suites: smoke in standard in exhaustive, the model's classes met, the kinds of problems that once were missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "validate/space/coverage.hpp"
#include "validate/space/factors.hpp"
#include "validate/space/layer.hpp"
#include "validate/suite.hpp"

namespace normquant::validate {
namespace {

constexpr auto f32 = DType::float32, bf16 = DType::bfloat16;

std::vector<std::string> names_of(Operation op) {
  std::vector<std::string> names;
  for (const VariantEntry& entry : catalogue(op, DeviceKind::host)) names.emplace_back(entry.name);
  return names;
}

/// A suite as pairs of a problem and a variant.
std::set<std::string> runs_of(Operation op, SuiteSize size, std::uint64_t seed) {
  std::set<std::string> runs;
  for (const Case& c : suite_cases(op, size, seed, {})) {
    for (const std::string& name : names_of(op)) {
      if (is_for(c, name)) runs.insert(name + " " + to_text(c.problem) + (c.after_others ? " after others" : ""));
    }
  }
  return runs;
}

bool is_in(const std::set<std::string>& some, const std::set<std::string>& all) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

TEST(Suite, SmokeIsInStandardIsInExhaustive) {
  for (Operation op : all_operations) {
    for (std::uint64_t seed : {1, 2}) {
      const auto smoke = runs_of(op, SuiteSize::smoke, seed), standard = runs_of(op, SuiteSize::standard, seed);
      EXPECT_FALSE(smoke.empty());
      EXPECT_TRUE(is_in(smoke, standard)) << name_of(op);
      EXPECT_LT(smoke.size(), standard.size()) << name_of(op);
    }
  }
  const auto standard = runs_of(Operation::activation_quant, SuiteSize::standard, 1),
             exhaustive = runs_of(Operation::activation_quant, SuiteSize::exhaustive, 1);
  EXPECT_TRUE(is_in(standard, exhaustive));
  EXPECT_LT(standard.size(), exhaustive.size());
}

TEST(Suite, TheSameSeedGivesTheSameCasesAndAnotherGivesOthers) {
  constexpr auto op = Operation::norm_quant_backward;
  EXPECT_EQ(runs_of(op, SuiteSize::standard, 1), runs_of(op, SuiteSize::standard, 1));
  EXPECT_NE(runs_of(op, SuiteSize::standard, 1), runs_of(op, SuiteSize::standard, 2));
}

TEST(Suite, EveryOperationsVariantsAndFormsAreOwedClasses) {
  const DeviceInfo device = open_host_device()->info();
  const auto all = space::coverage_of(Operation::norm_quant_forward, SuiteSize::standard, 1, device, {});
  for (const char* by : {"one_pass_e8, rms", "one_pass_e8, rms_codes", "one_pass_e8, rms_residual",
                         "one_pass_e8, layer", "one_pass_e8, any", "cluster_c16_e32, layer",
                         "striped_c4_e32, rms_residual", "split, rms", "two_pass_t1024_v1, any"}) {
    ASSERT_TRUE(all.contains(by)) << by;
    EXPECT_GT(all.at(by).unmet.size(), 20U) << by;
  }
  EXPECT_TRUE(all.at("cluster_c2_e32, layer").unmet.contains("last block: one packet"));
  EXPECT_TRUE(all.at("split, rms").unmet.contains("blocks of the row: 257 or more"));
  EXPECT_TRUE(all.at("striped_e8, rms").unmet.contains("values nan_weight at behind a tile's edge"));
}

/// Results as if every case had been checked on every variant that it is for and that serves it.
std::vector<CaseResult> all_checked(Operation op, SuiteSize size, const DeviceInfo& device) {
  const space::Served served(op, device);
  std::vector<CaseResult> results;
  for (const Case& c : suite_cases(op, size, 1, {}, &device)) {
    for (std::size_t v = 0; v < served.variants().size(); ++v) {
      CaseResult result{"host", std::string(served.variants()[v].name), c.problem, {}};
      result.verdict.outcome = served.by(v, c.problem) ? Outcome::pass : Outcome::skipped;
      if (is_for(c, result.variant)) results.push_back(result);
    }
  }
  return results;
}

TEST(Coverage, ASuiteMeetsItsModelAndOneWithoutSomeOfItsRunsDoesNot) {
  const DeviceInfo device = open_host_device()->info();
  for (Operation op : all_operations) {
    for (SuiteSize size : {SuiteSize::smoke, SuiteSize::standard}) {
      auto results = all_checked(op, size, device);
      EXPECT_EQ(space::count_unmet(space::coverage_of(op, size, 1, device, results)), 0U) << name_of(op);
      const std::string first = results.front().variant;
      for (CaseResult& result : results) {
        if (result.variant == results.back().variant) result.verdict.outcome = Outcome::skipped;
      }
      EXPECT_GT(space::count_unmet(space::coverage_of(op, size, 1, device, results)), 0U) << name_of(op);
    }
  }
}

TEST(Coverage, IsComputedForTheDeviceAtHand) {
  DeviceInfo device = open_host_device(1, 132)->info();
  const auto cases = suite_cases(Operation::norm_quant_backward, SuiteSize::standard, 1, {}, &device);
  const auto rows = [&](std::int64_t count) {
    return std::any_of(cases.begin(), cases.end(), [&](const Case& c) { return c.problem.rows == count; });
  };
  for (std::int64_t count : {131, 132, 133, 265, 132 * 15 + 1}) EXPECT_TRUE(rows(count)) << count;
}

TEST(Suite, OnAGpuTheLayerHasMoreRowsThanAChunkOfItsInt32Sums) {
  DeviceInfo device = open_host_device()->info();
  const auto has_chunks = [&] {
    const auto cases = suite_cases(Operation::bit_linear_forward, SuiteSize::standard, 1, {}, &device);
    return std::any_of(cases.begin(), cases.end(), [](const Case& c) {
      return c.problem.rows > 256 && c.problem.k_out * 4 * 256 >= std::int64_t{512} << 20;
    });
  };
  EXPECT_FALSE(has_chunks());
  device.kind = DeviceKind::cuda;
  EXPECT_TRUE(has_chunks());
}

TEST(Covering, EveryPairOfLevelsThatCanGoTogetherMeets) {
  for (Operation op : {Operation::norm_quant_forward, Operation::activation_quant, Operation::weight_quant}) {
    const space::Table table = space::table_of(op);
    const auto problems = space::covering_problems(table, 2, 1);
    std::size_t missing = 0;
    for (std::size_t f = 0; f < table.factors.size(); ++f) {
      for (std::size_t g = f + 1; g < table.factors.size(); ++g) {
        for (const space::Level& a : table.factors[f].levels) {
          for (const space::Level& b : table.factors[g].levels) {
            const bool met =
                std::any_of(problems.begin(), problems.end(), [&](const Problem& p) { return has(p, a) && has(p, b); });
            Problem both = table.plain;
            a.apply(both), b.apply(both), table.repair(both);
            if (!met && has(both, a) && has(both, b)) ++missing;
          }
        }
      }
    }
    EXPECT_EQ(missing, 0U) << name_of(op);
  }
}

/// Kinds of problems that the suites lacked when 99 bugs were planted that nobody had had in mind.
TEST(Suite, KindsThatOnceWereMissing) {
  using Is = std::function<bool(const Problem&)>;
  std::map<std::pair<Operation, SuiteSize>, std::vector<Case>> suites;
  const auto has_case = [&](Operation op, SuiteSize size, std::string_view variants, const Is& is) {
    std::vector<Case>& cases = suites[{op, size}];
    if (cases.empty()) cases = suite_cases(op, size, 1, {});
    return std::any_of(cases.begin(), cases.end(), [&](const Case& c) {
      const auto names = names_of(op);
      return is(c.problem) && std::any_of(names.begin(), names.end(), [&](const std::string& name) {
               return name.starts_with(variants) && is_for(c, name);
             });
    });
  };
  const struct {
    const char* kind;
    Operation op;
    const char* variants;
    Is is;
    bool in_smoke = true;  // smoke owes the classes of an algorithm, not those of each of its variants
  } kinds[] = {
      {"layer norm, a few columns into a fifth warp", Operation::norm_quant_forward, "one_pass_e8",
       [](const Problem& p) {
         return space::form_of(p) == "layer" && p.columns > 256 &&
                p.columns % 256 * static_cast<std::int64_t>(size_of(p.x)) == 16;
       }},
      {"residual, a tile and a packet", Operation::norm_quant_forward, "one_pass_e64",
       [](const Problem& p) { return space::form_of(p) == "rms_residual" && p.columns % 2048 == 8; }},
      {"backward with dresidual, a tile and a packet", Operation::norm_quant_backward, "staged_e32",
       [](const Problem& p) {
         return space::form_of(p) == "rms_residual" && p.columns > 1024 && p.columns % 1024 <= 8;
       }},
      {"backward of layer norm, one packet", Operation::norm_quant_backward, "staged",
       [](const Problem& p) { return space::form_of(p) == "layer" && p.columns == 8; }},
      {"NaN in the weight, in a cluster's second block", Operation::norm_quant_forward, "cluster_c2",
       [](const Problem& p) { return p.values == Values::nan_weight && p.at_column >= 1024; }},
      {"an overflowing weight in a cluster", Operation::norm_quant_forward, "cluster_c2",
       [](const Problem& p) { return p.values == Values::huge_weight; }},
      {"dy off, h aligned", Operation::norm_quant_backward, "",
       [](const Problem& p) { return p.offsets.contains("dy") && p.offsets.size() == 1; }},
      {"the backward without recomputed output, a form of its own", Operation::norm_quant_backward, "staged_e8",
       [](const Problem& p) { return space::form_of(p) == "rms_gradient" && p.columns > 256; }},
      {"the longest row of float32, where shared memory holds fewer stages", Operation::norm_quant_backward,
       "striped_e32", [](const Problem& p) { return p.x == f32 && p.columns > 14000 && p.rows >= 3; }, false},
      {"rstd null", Operation::norm_quant_forward, "", [](const Problem& p) { return p.without.contains("rstd"); }},
      {"a residual without residual_out", Operation::norm_quant_forward, "",
       [](const Problem& p) { return p.residual && !p.residual_out; }},
      {"dequant_scale without codes", Operation::activation_quant, "",
       [](const Problem& p) { return !p.codes && p.with.contains("dequant_scale"); }},
      {"dbias without a bias", Operation::norm_quant_backward, "",
       [](const Problem& p) { return !p.bias && p.with.contains("dbias"); }},
      {"a walker's second row", Operation::norm_quant_backward, "staged",
       [](const Problem& p) { return p.rows >= 61 && p.columns < 300; }},
      {"a stage used again", Operation::norm_quant_backward, "staged",
       [](const Problem& p) { return p.rows > 180 && p.columns < 300; }},
      {"layer norm's backward, 129 rows", Operation::norm_quant_backward, "single",
       [](const Problem& p) { return space::form_of(p) == "layer" && p.rows == 129; }},
      {"more pieces than threads", Operation::norm_quant_forward, "split",
       [](const Problem& p) {
         return p.columns * static_cast<std::int64_t>(size_of(p.x)) > std::int64_t{256} * 16384;
       }},
      {"weights dense, packed padded", Operation::weight_quant, "",
       [](const Problem& p) { return p.packed && !p.out && !p.codes && p.row_padding > 0 && p.dense_inputs; }},
      {"weights dense, out padded", Operation::weight_quant, "",
       [](const Problem& p) { return p.out && !p.codes && !p.packed && p.paddings.contains("out"); }},
      {"the layer's bias over more rows than sum_rows's blocks take once", Operation::bit_linear_backward, "",
       [](const Problem& p) { return p.rows > 4096 && p.linear_bias; }},
      {"the layer without rows, with padding", Operation::bit_linear_backward, "",
       [](const Problem& p) { return p.rows == 0 && p.row_padding > 0 && p.out; }},
      {"the layer's quant_scale, from forward", Operation::bit_linear_forward, "",
       [](const Problem& p) { return p.save_quant_scale; }},
      {"the layer's quant_scale, to backward", Operation::bit_linear_backward, "",
       [](const Problem& p) { return p.save_quant_scale; }},
      {"ties that the layer's backward rounds to even", Operation::bit_linear_backward, "",
       [](const Problem& p) { return p.values == Values::ties && p.bias && p.rounding == Rounding::half_even; }},
      {"NaN with its sign bit set", Operation::activation_quant, "one_pass",
       [](const Problem& p) { return p.values == Values::minus_nan; }},
      {"an absmax beyond 1e30", Operation::activation_quant, "two_pass",
       [](const Problem& p) { return p.values == Values::huge && p.x == f32; }},
      {"y beyond 1e30", Operation::norm_quant_forward, "one_pass",
       [](const Problem& p) { return p.values == Values::huge && p.x == f32 && p.weight == f32; }},
      {"float32's largest number", Operation::activation_quant, "one_pass",
       [](const Problem& p) { return p.values == Values::largest && p.x == f32; }},
      {"a column whose number needs 17 bits, where the row's largest element is", Operation::activation_quant,
       "two_pass_t1024_v16",
       [](const Problem& p) { return p.columns > 65536 && p.values == Values::one_large && p.at_column >= 65536; },
       false},
      {"more rows than a GPU has multiprocessors, than 8 bits hold", Operation::activation_quant, "one_pass",
       [](const Problem& p) { return p.rows > 256 && p.columns <= 64; }},
      {"more rows than a GPU has multiprocessors, each of a block", Operation::activation_quant, "two_pass",
       [](const Problem& p) { return p.rows > 132; }},
      {"more rows than 16 bits hold", Operation::activation_quant, "one_pass_t16",
       [](const Problem& p) { return p.rows > 65536; }, false},
      {"four turns and a whole last packet", Operation::activation_quant, "one_pass_t128",
       [](const Problem& p) {
         return p.columns * static_cast<std::int64_t>(size_of(p.x)) == std::int64_t{4} * 128 * 16;
       }},
      {"large tiles of the packed product's stream", Operation::bit_linear_forward, "packed",
       [](const Problem& p) { return p.rows <= 16 && p.columns <= 4096 && p.k_out > 192 && p.k_out < 256; }},
      {"more rows than the packed product has blocks for", Operation::bit_linear_forward, "packed",
       [](const Problem& p) { return p.rows > std::int64_t{65535} * 16; }, false},
      {"floor(x + 0.5)", Operation::activation_quant, "",
       [](const Problem& p) { return p.values == Values::near_ties && p.x == f32; }},
  };
  for (const auto& kind : kinds) {
    for (SuiteSize size : {SuiteSize::smoke, SuiteSize::standard}) {
      if (size == SuiteSize::smoke && !kind.in_smoke) continue;
      EXPECT_TRUE(has_case(kind.op, size, kind.variants, kind.is))
          << kind.kind << (size == SuiteSize::smoke ? " (smoke)" : " (standard)");
    }
  }
}

TEST(Lookalike, SaysWhatPreparedProblemsSay) {
  const auto device = open_host_device();
  for (Operation op : {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant,
                       Operation::weight_quant}) {
    const space::Served served(op, device->info());
    for (const Problem& problem : space::rest_of(op, SuiteSize::smoke, 1)) {
      std::string why;
      const auto prepared = prepare(problem, *device, 0, why);
      ASSERT_NE(prepared, nullptr) << why << " " << to_text(problem);
      for (std::size_t v = 0; v < served.variants().size(); ++v) {
        EXPECT_EQ(served.by(v, problem), prepared->why_not(prepared->find(served.variants()[v].name)).empty())
            << served.variants()[v].name << " " << to_text(problem);
      }
    }
  }
}

TEST(Classes, FollowFromTheConstantsOfAVariant) {
  Tuning tuning;
  tuning.lanes = 32, tuning.elements = 32, tuning.cluster = 2;
  const space::Cut cut = space::cut_of(tuning, bf16);
  EXPECT_EQ(cut.packet, 8);
  EXPECT_EQ(cut.tile, 1024);
  const auto classes = [&](std::int64_t columns) {
    const auto all = space::column_classes(cut, columns);
    return std::set<std::string>(all.begin(), all.end());
  };
  EXPECT_TRUE(classes(1032).contains("last block: one packet"));
  EXPECT_TRUE(classes(1032).contains("N ends: one packet into a tile"));
  EXPECT_TRUE(classes(2048).contains("last block: full"));
  EXPECT_TRUE(classes(2056).contains("last block: a warp without work"));
  EXPECT_TRUE(classes(2056).contains("warps of the row: 2"));
  EXPECT_FALSE(classes(65536).contains("N: beyond 16 bits")) << "its last column is 65535";
  EXPECT_TRUE(classes(65544).contains("N: beyond 16 bits"));

  Tuning loop;
  loop.threads_per_row = 128;
  const auto of_loop = [&](std::int64_t columns) {
    const auto all = space::column_classes(space::cut_of(loop, bf16), columns);
    return std::set<std::string>(all.begin(), all.end());
  };
  EXPECT_TRUE(of_loop(3 * 1024 + 8).contains("turns over the row: 4"));
  EXPECT_FALSE(of_loop(3 * 1024 + 8).contains("turns over the row: 4, the last one whole"));
  EXPECT_TRUE(of_loop(std::int64_t{4} * 1024).contains("turns over the row: 4, the last one whole"));
}

}  // namespace
}  // namespace normquant::validate
