// The choice by everything but M: one variant, or several whose rows have the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include <normquant/choice.hpp>

#include "kernels/choice/installed_models.hpp"
#include "kernels/choice/row_invariant.hpp"
#include "validate/lookalike.hpp"

namespace normquant::choice {
namespace {

using validate::Problem;

/// A GPU with a table and a model, of the host's kind, whose variants every build has.
DeviceInfo h200() {
  DeviceInfo device;
  device.name = "NVIDIA H200";
  device.compute_capability = 90;
  device.sm_count = 132;
  device.shared_memory_per_block = std::size_t{227} * 1024;
  device.max_cluster_blocks = 16;
  device.resident_clusters = model_for(device)->plan_device.resident_clusters;
  return device;
}

Problem problem(Operation op, std::int64_t columns, DType x = DType::bfloat16) {
  Problem p;
  p.op = op;
  p.columns = columns;
  p.x = x;
  p.out = x;
  if (op != Operation::activation_quant) p.weight = x;
  if (op == Operation::norm_quant_backward) p.dy = x;
  return p;
}

std::vector<Problem> problems() {
  std::vector<Problem> all;
  for (const std::int64_t columns : {8, 72, 1000, 1024, 2048, 4096, 6144, 8192, 16384, 32768, 1001, 4099}) {
    for (const DType x : {DType::bfloat16, DType::float32}) {
      for (const Operation op :
           {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant}) {
        all.push_back(problem(op, columns, x));
      }
      Problem codes = problem(Operation::norm_quant_forward, columns, x);
      codes.out.reset(), codes.codes = true;
      Problem layer = problem(Operation::norm_quant_forward, columns, x);
      layer.norm = NormKind::layer, layer.bias = x;
      all.push_back(codes), all.push_back(layer);
    }
  }
  return all;
}

/// The variant whose bits the rows of the choice have, by number of rows.
template <class Args>
std::set<std::string> heads(const Problem& p, const DeviceInfo& device) {
  std::set<std::string> heads;
  Args a = validate::lookalike<Args>(p);
  for (const std::int64_t rows : {1, 2, 3, 7, 16, 100, 128, 129, 256, 257, 1000, 4096, 32768, 65537, 1 << 24}) {
    a.rows = rows;
    const Variant<Args>& chosen = choose_variant(a, device, true);
    EXPECT_TRUE(chosen.row_invariant && chosen.deterministic) << chosen.name << " at " << to_text(p);
    EXPECT_EQ(chosen.why_not(chosen, a, device), "") << chosen.name << " at " << to_text(p);
    heads.emplace(chosen.row_bits_of.empty() ? chosen.name : chosen.row_bits_of);
  }
  return heads;
}

void expect_the_same_bits(const DeviceInfo& device) {
  for (const Problem& p : problems()) {
    with_operation(p.op, [&]<class Args>(std::type_identity<Args>) {
      if constexpr (!is_layer_arguments<Args>) {
        EXPECT_EQ(heads<Args>(p, device).size(), 1U) << to_text(p);
      }
    });
  }
}

TEST(InvariantChoice, HasTheSameBitsForEveryM) { expect_the_same_bits(h200()); }

TEST(InvariantChoice, AlsoByATableAlone) {
  DeviceInfo device = h200();
  device.name = "NVIDIA H100 80GB HBM3";
  ASSERT_EQ(model_for(device), nullptr);
  ASSERT_TRUE(has_tuned_table(device));
  expect_the_same_bits(device);
}

TEST(InvariantChoice, AlsoByTheRuleAlone) { expect_the_same_bits(open_host_device()->info()); }

TEST(InvariantChoice, FewRowsTakeTheVariantForFewWithTheSameBits) {
  auto a = validate::lookalike<NormQuantBackward>(problem(Operation::norm_quant_backward, 4096));
  a.rows = 4;
  const auto few = choose_variant(a, h200(), true);
  a.rows = 8192;
  const auto many = choose_variant(a, h200(), true);
  EXPECT_EQ(few.row_bits_of, many.name);
  EXPECT_NE(few.name, many.name);
}

TEST(InvariantChoice, IsThePlainOneWhereItIsNotAskedFor) {
  for (const std::int64_t rows : {1, 300, 9000}) {
    Problem p = problem(Operation::norm_quant_forward, 4096);
    p.rows = rows;
    const auto a = validate::lookalike<NormQuantForward>(p);
    EXPECT_EQ(choose_variant(a, h200(), false).name, choose_variant(a, h200()).name);
  }
}

TEST(InvariantChoice, SaysWhereThereIsNone) {
  auto a = validate::lookalike<WeightQuant>(problem(Operation::weight_quant, 4096));
  EXPECT_FALSE(choose_variant(a, h200(), true).row_invariant) << "a row's codes follow the scale of all rows";
}

TEST(InvariantChoice, FollowsATableThatIsSet) {
  DeviceInfo device = open_host_device()->info();
  device.name = "the one with a table for every M";
  const auto a = validate::lookalike<NormQuantForward>(problem(Operation::norm_quant_forward, 4096));
  for (const std::string wanted : {"one_pass_e16", "one_pass_e32"}) {
    const std::string cell = "norm_quant_forward bfloat16 rms+out aligned 16 4096 " + wanted + "=1.00\n";
    const Status status = set_tuned_table("device " + device.name + "\n" + cell);
    ASSERT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(choose_variant(a, device, true).name, wanted) << "what was remembered of the table before is forgotten";
  }
}

TEST(RowBits, AreThoseOfAVariantThatPromisesThem) {
  for (const Operation op : all_operations) {
    with_operation(op, []<class Args>(std::type_identity<Args>) {
      if constexpr (!is_layer_arguments<Args>) {
        const auto& all = variants<Args>(DeviceKind::host);
        for (const Variant<Args>& variant : all) {
          if (variant.row_bits_of.empty()) continue;
          const auto head =
              std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.name == variant.row_bits_of; });
          ASSERT_NE(head, all.end()) << variant.name;
          EXPECT_TRUE(variant.row_invariant && head->row_invariant) << variant.name;
          EXPECT_TRUE(head->row_bits_of.empty() || head->row_bits_of == head->name) << variant.name;
        }
      }
    });
  }
}

}  // namespace
}  // namespace normquant::choice
