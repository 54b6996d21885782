// Rows of any alignment by striped elements: nothing depends on where a row begins.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
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

void expect_equal_rows(const std::vector<float>& values, std::string_view what) {
  for (std::int64_t row = 1; row < rows; ++row) {
    EXPECT_EQ(std::memcmp(values.data(), values.data() + row * columns, sizeof(float) * columns), 0)
        << what << ": row " << row << " has other bits than row 0";
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
  std::vector<float> out(x.size());
  NormQuantForward a;
  a.rows = rows, a.columns = columns, a.eps = 1e-6F;
  a.x = {x.data(), DType::float32, columns};
  a.weight = {weight.data(), DType::float32};
  a.output.out = {out.data(), DType::float32, columns};
  EXPECT_GE(launch_each("striped", a, [&](std::string_view name) { expect_equal_rows(out, name); }), 4);
}

TEST(StripedRows, BackwardGivesEqualRowsEqualBitsWhereverTheyLie) {
  const std::vector<float> h = equal_rows(0.1F), dy = equal_rows(1.3F), weight(columns, 0.75F), rstd(rows, 1.4F);
  std::vector<float> dx(h.size()), out(h.size()), dweight(columns);
  NormQuantBackward a;
  a.rows = rows, a.columns = columns;
  a.h = {h.data(), DType::float32, columns};
  a.dy = {dy.data(), DType::float32, columns};
  a.weight = {weight.data(), DType::float32};
  a.rstd = rstd.data();
  a.dx = {dx.data(), DType::float32, columns};
  a.recomputed.out = {out.data(), DType::float32, columns};
  a.dweight = {dweight.data(), DType::float32};
  EXPECT_EQ(launch_each("striped", a,
                        [&](std::string_view name) {
                          expect_equal_rows(dx, name);
                          expect_equal_rows(out, name);
                        }),
            3);
}

}  // namespace
}  // namespace normquant
