// Runs every variant with tensors that may be null: each left out alone, each given alone.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <normquant/device.hpp>
#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant::optional_tensors {

inline constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();
inline constexpr std::int8_t unwritten_code = -128;

inline std::vector<float> drawn(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

/// The outputs of one launch by name, and how far apart two right answers may be.
class Outputs {
 public:
  float* values(const std::string& name, std::int64_t count, float most_apart) {
    apart_[name] = most_apart;
    return (floats_[name] = std::vector<float>(static_cast<std::size_t>(count), unwritten)).data();
  }
  std::int8_t* codes(const std::string& name, std::int64_t count) {
    return (codes_[name] = std::vector<std::int8_t>(static_cast<std::size_t>(count), unwritten_code)).data();
  }
  /// Packed ternary codes, of which no byte has all bits set.
  std::uint8_t* packed(const std::string& name, std::int64_t count) {
    return (packed_[name] = std::vector<std::uint8_t>(static_cast<std::size_t>(count), 0xFF)).data();
  }
  /// Expects that all of these outputs were written, with what `all` has.
  void expect_as_in(const Outputs& all, const std::string& where) const {
    for (const auto& [name, mine] : floats_) {
      for (std::size_t i = 0; i < mine.size(); ++i) {
        const float truth = all.floats_.at(name)[i];
        ASSERT_NEAR(mine[i], truth, apart_.at(name) * std::max(1.0F, std::fabs(truth))) << where << name << " " << i;
      }
    }
    for (const auto& [name, mine] : codes_) {
      for (std::size_t i = 0; i < mine.size(); ++i) {
        ASSERT_NE(mine[i], unwritten_code) << where << name << " " << i << " was never written";
        ASSERT_LE(std::abs(mine[i] - all.codes_.at(name)[i]), 1) << where << name << " " << i;
      }
    }
    for (const auto& [name, mine] : packed_) {
      ASSERT_EQ(std::count(mine.begin(), mine.end(), 0xFF), 0) << where << name << " was not written everywhere";
      ASSERT_EQ(mine, all.packed_.at(name)) << where << name;
    }
  }

 private:
  std::map<std::string, std::vector<float>> floats_;
  std::map<std::string, float> apart_;
  std::map<std::string, std::vector<std::int8_t>> codes_;
  std::map<std::string, std::vector<std::uint8_t>> packed_;
};

/// A tensor that may be null: its name and how it is given.
template <class Args>
struct Optional {
  std::string name;
  std::function<void(Args&, Outputs&)> give;
};
template <class Args>
using Optionals = std::vector<Optional<Args>>;

template <class Args>
Status run(const Variant<Args>& variant, const Args& args, const Device& device) {
  const std::size_t bytes = variant.workspace_bytes(variant, args, device.info());
  std::vector<unsigned char> scratch(bytes + 256);
  const auto start = reinterpret_cast<std::uintptr_t>(scratch.data());
  return launch(variant, args, device.info(), {scratch.data() + (256 - start % 256) % 256, bytes}, nullptr);
}

/// Which of `count` tensors are given: all, all but one, none, each alone.
inline std::vector<std::vector<bool>> choices(std::size_t count) {
  std::vector<std::vector<bool>> all = {std::vector<bool>(count, true), std::vector<bool>(count, false)};
  for (std::size_t i = 0; i < count; ++i) {
    for (const bool given : {true, false}) {
      all.emplace_back(count, !given);
      all.back()[i] = given;
    }
  }
  return all;
}

/// Gives those of the tensors that `given` says; their names.
template <class Args>
std::string give(Args& args, const Optionals<Args>& tensors, const std::vector<bool>& given, Outputs& outputs) {
  std::string names;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!given[i]) continue;
    tensors[i].give(args, outputs);
    names += " " + tensors[i].name;
  }
  return names;
}

/// Runs every variant with every choice of inputs and all outputs, and with every choice of outputs and all or no inputs, as far as
/// the contract allows. Compares what was written with all outputs of the variant of that name. Answers how many launches that
/// were.
template <class Args>
int launches_that_work(const Args& required, const Optionals<Args>& inputs, const Optionals<Args>& outputs,
                       std::string_view most_general) {
  const auto device = open_host_device();
  const auto& all = variants<Args>(DeviceKind::host);
  const auto general = std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.name == most_general; });
  const std::vector<bool> every_output(outputs.size(), true), every_input(inputs.size(), true), no_input(inputs.size());
  int launches = 0;
  for (const std::vector<bool>& given : choices(inputs.size())) {
    Args with_inputs = required;
    Outputs none, truth;
    const std::string from = give(with_inputs, inputs, given, none);
    Args with_all = with_inputs;
    give(with_all, outputs, every_output, truth);
    const Status first = run(*general, with_all, *device);
    EXPECT_TRUE(first.ok()) << first.message;
    for (const std::vector<bool>& wanted : choices(outputs.size())) {
      if (wanted != every_output && given != every_input && given != no_input) continue;
      for (const Variant<Args>& variant : all) {
        Args args = with_inputs;
        Outputs own;
        const std::string to = give(args, outputs, wanted, own);
        if (!check_arguments(args).ok() || !variant.why_not(variant, args, device->info()).empty()) continue;
        const Status status = run(variant, args, *device);
        const std::string where = std::string(variant.name) + " from" + from + " to" + to + ": ";
        EXPECT_TRUE(status.ok()) << where << status.message;
        own.expect_as_in(truth, where);
        ++launches;
        if (testing::Test::HasFailure()) return launches;
      }
    }
  }
  return launches;
}

inline constexpr float step = 0.05F;  ///< of a fake-quantised value, where two codes are right
inline constexpr float close = 1e-4F;

/// Inputs of N columns and M rows that every operation here takes from.
struct Inputs {
  std::int64_t rows, columns;
  std::vector<float> x = drawn(rows * columns, 1), second = drawn(rows * columns, 2), third = drawn(rows * columns, 3),
                     weight = drawn(columns, 4), bias = drawn(columns, 5), mean = std::vector<float>(rows, 0.01F),
                     rstd = std::vector<float>(rows, 0.9F), quant_scale = std::vector<float>(rows, 20.0F);
  ConstMatrix matrix(const std::vector<float>& values) const { return {values.data(), DType::float32, columns}; }
  static ConstVector vector(const std::vector<float>& values) { return {values.data(), DType::float32}; }
};

}  // namespace normquant::optional_tensors
