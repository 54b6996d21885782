// Rows of any alignment by striped elements: nothing depends on where a row begins.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>

namespace normquant {
namespace {

constexpr std::int64_t rows = 9, columns = 1031;  // odd, so every row starts elsewhere within 16 bytes

/// `rows` times the same values.
std::vector<float> equal_rows(float phase) {
  std::vector<float> values;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      values.push_back(std::sin(phase + 0.37F * static_cast<float>(column)));
    }
  }
  return values;
}

/// And that all were written: they were NaN before, and are now for the next variant.
void expect_equal_rows(std::vector<float>& values, std::string_view what) {
  const auto bits = [&](std::int64_t row, std::int64_t column) {
    return std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(row * columns + column)]);
  };
  for (std::int64_t row = 1; row < rows; ++row) {
    std::int64_t other = 0;
    for (std::int64_t column = 0; column < columns; ++column) other += bits(row, column) != bits(0, column) ? 1 : 0;
    EXPECT_EQ(other, 0) << what << ": row " << row << " has other bits than row 0";
  }
  for (float& value : values) {
    ASSERT_FALSE(std::isnan(value)) << what << " wrote nothing there";
    value = NAN;
  }
}

/// launch() of every variant whose name contains `name`, which must serve; answers how many there are.
template <class Args, class Check>
int launch_each(std::string_view name, const Args& args, Check check) {
  const auto device = open_host_device();
  int launched = 0;
  for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) {
    if (variant.name.find(name) == std::string_view::npos) continue;
    if (!variant.why_not(variant, args, device->info()).empty()) continue;
    std::vector<unsigned char> workspace(variant.workspace_bytes(variant, args, device->info()));
    const Status status = launch(variant, args, device->info(), {workspace.data(), workspace.size()}, nullptr);
    EXPECT_TRUE(status.ok()) << variant.name << ": " << status.message;
    check(variant.name);
    ++launched;
  }
  return launched;
}

TEST(StripedRows, ForwardGivesEqualRowsEqualBitsWhereverTheyLie) {
  const std::vector<float> x = equal_rows(0.1F), weight(columns, 0.75F);
  std::vector<float> out(x.size(), NAN);
  NormQuantForward a;
  a.rows = rows, a.columns = columns, a.eps = 1e-6F;
  a.x = {x.data(), DType::float32, columns};
  a.weight = {weight.data(), DType::float32};
  a.output.out = {out.data(), DType::float32, columns};
  EXPECT_GE(launch_each("striped", a, [&](std::string_view name) { expect_equal_rows(out, name); }), 4);
}

TEST(StripedRows, BackwardGivesEqualRowsEqualBitsWhereverTheyLie) {
  const std::vector<float> h = equal_rows(0.1F), dy = equal_rows(1.3F), weight(columns, 0.75F), rstd(rows, 1.4F);
  std::vector<float> dx(h.size(), NAN), out(h.size(), NAN);
  NormQuantBackward a;
  a.rows = rows, a.columns = columns;
  a.h = {h.data(), DType::float32, columns};
  a.dy = {dy.data(), DType::float32, columns};
  a.weight = {weight.data(), DType::float32};
  a.rstd = rstd.data();
  a.dx = {dx.data(), DType::float32, columns};
  a.recomputed.out = {out.data(), DType::float32, columns};
  EXPECT_EQ(launch_each("striped", a,
                        [&](std::string_view name) {
                          expect_equal_rows(dx, name);
                          expect_equal_rows(out, name);
                        }),
            3);
}

}  // namespace
}  // namespace normquant
