#include "choice/cost_features.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace normquant::choice {
namespace {

float above(float value, float knot) { return std::max(0.0F, value - knot); }
float yes(bool holds) { return holds ? 1.0F : 0.0F; }
float log2_of(std::int64_t value) { return std::log2(static_cast<float>(std::max<std::int64_t>(value, 1))); }

/// log2 of how much longer the whole waves take than the blocks would; 0 where one wave holds all.
float last_wave(std::int64_t blocks, std::int64_t at_a_time) {
  if (blocks <= at_a_time) return 0;
  const std::int64_t waves = (blocks + at_a_time - 1) / at_a_time;
  return log2_of(waves * at_a_time) - log2_of(blocks);
}

float bytes_an_element(const Point& point, bool read) {
  const auto has = [&](FormWord word) { return (point.form & word) != 0; };
  const float output = has(form_out) ? 2.0F : 0.0F, codes = has(form_codes) ? 1.0F : 0.0F;
  if (point.op == Operation::norm_quant_forward) {
    const float residual = has(form_residual) ? 2.0F : 0.0F;
    return read ? 2 + residual : output + codes + residual;
  }
  return read ? 4 + (has(form_dresidual) ? 2.0F : 0.0F) : 2 + output + codes;
}

}  // namespace

const std::array<std::string_view, feature_count>& feature_names() {
  static const std::array<std::string_view, feature_count> names = {"always",
                                                                    "rows>0",
                                                                    "rows>3",
                                                                    "rows>5",
                                                                    "rows>6",
                                                                    "rows>7",
                                                                    "rows>8",
                                                                    "rows>9",
                                                                    "rows>11",
                                                                    "rows>13",
                                                                    "columns>6",
                                                                    "columns>9",
                                                                    "columns>10",
                                                                    "columns>11",
                                                                    "columns>12",
                                                                    "columns>13",
                                                                    "columns>14",
                                                                    "columns>15",
                                                                    "bytes>18",
                                                                    "bytes>20",
                                                                    "bytes>22",
                                                                    "bytes>24",
                                                                    "bytes>26",
                                                                    "bytes>28",
                                                                    "large",
                                                                    "columns>6*large",
                                                                    "columns>9*large",
                                                                    "columns>11*large",
                                                                    "columns>13*large",
                                                                    "columns>15*large",
                                                                    "columns*rows",
                                                                    "long_rows",
                                                                    "odd",
                                                                    "odd*columns",
                                                                    "odd*large",
                                                                    "odd*rows",
                                                                    "threads*small",
                                                                    "threads*large",
                                                                    "idle*small",
                                                                    "idle*large",
                                                                    "waves",
                                                                    "room*large",
                                                                    "about_one_wave",
                                                                    "last_wave",
                                                                    "last_wave*large",
                                                                    "uneven",
                                                                    "uneven*large",
                                                                    "two_waves",
                                                                    "one_wave",
                                                                    "one_wave*columns",
                                                                    "one_a_multiprocessor",
                                                                    "held",
                                                                    "held*large",
                                                                    "held_of_grid",
                                                                    "rows_a_block",
                                                                    "rows_a_block*large",
                                                                    "early",
                                                                    "early*blocks>2",
                                                                    "early*blocks>4",
                                                                    "early*blocks>5",
                                                                    "early*rows",
                                                                    "early*columns",
                                                                    "early*threads",
                                                                    "early*blocks>5*columns",
                                                                    "early*blocks>5*threads",
                                                                    "early*crowded",
                                                                    "half_full",
                                                                    "half_full*columns",
                                                                    "half_full*threads",
                                                                    "unbalanced",
                                                                    "unbalanced*large",
                                                                    "walk",
                                                                    "walk_of_1",
                                                                    "walk_of_2",
                                                                    "block_threads",
                                                                    "block_threads*large"};
  return names;
}

ProblemSize size_of_problem(const Point& point) {
  ProblemSize size;
  const float reads = bytes_an_element(point, true), writes = bytes_an_element(point, false);
  size.rows = log2_of(point.rows);
  size.columns = log2_of(point.columns);
  size.bytes = size.rows + size.columns + std::log2(reads + writes);
  size.row_bytes = static_cast<float>(point.columns) * reads;
  size.large = std::min(1.0F, above(size.bytes, 20) / 5);
  return size;
}

void fill_features(const ProblemSize& size, const Point& point, const LaunchPlan& plan, int sm_count,
                   Features& features) {
  const float large = size.large, small = 1 - large, n = size.columns - 12;
  const float blocks = log2_of(plan.blocks), held = log2_of(plan.at_a_time), waves = blocks - held;
  const int block_threads = plan.threads * plan.rows;
  const float threads = log2_of(plan.threads), in_block = log2_of(block_threads), idle = std::log2(plan.idle);
  const float held_threads = held - log2_of(sm_count) + in_block - 10;
  const std::int64_t in_use = std::min(plan.at_a_time, std::max<std::int64_t>(plan.blocks, sm_count));
  const bool is_early = plan.blocks <= sm_count / 2, fits = plan.blocks <= plan.at_a_time;
  const float early = yes(is_early), early_many = early * above(blocks, 5);
  const float half_full = yes(!is_early && plan.blocks <= sm_count), last = last_wave(plan.blocks, plan.at_a_time);
  const float uneven = last_wave(plan.blocks, sm_count), one_wave = yes(fits), odd = yes(!point.aligned);
  const bool backward = point.op == Operation::norm_quant_backward;
  const float walks = yes(backward), unbalanced = std::log2(plan.unbalanced), rows_a_block = log2_of(plan.rows);
  float* next = features.data();
  const auto put = [&next](float value) { *next++ = value; };
  put(1);
  for (const float knot : {0.0F, 3.0F, 5.0F, 6.0F, 7.0F, 8.0F, 9.0F, 11.0F, 13.0F}) put(above(size.rows, knot) / 4);
  for (const float knot : {6.0F, 9.0F, 10.0F, 11.0F, 12.0F, 13.0F, 14.0F, 15.0F}) put(above(size.columns, knot));
  for (const float knot : {18.0F, 20.0F, 22.0F, 24.0F, 26.0F, 28.0F}) put(above(size.bytes, knot) / 4);
  put(large);
  for (const float knot : {6.0F, 9.0F, 11.0F, 13.0F, 15.0F}) put(above(size.columns, knot) * large);
  put(n * (size.rows - 7) / 8);
  put(yes(size.row_bytes >= 32768));
  put(odd);
  put(odd * n);
  put(odd * large);
  put(odd * (size.rows - 7) / 4);
  put(threads * small);
  put(threads * large);
  put(idle * small);
  put(idle * large);
  put(above(waves, 0));
  put(above(-waves, 0) * large);
  put(above(1, std::abs(waves)));
  put(last);
  put(last * std::min(1.0F, above(size.bytes, 24) / 3));
  put(uneven);
  put(uneven * large);
  put(yes(!fits && plan.blocks <= 2 * plan.at_a_time));
  put(one_wave);
  put(one_wave * n * large);
  put(yes(plan.blocks <= sm_count));
  put(held_threads);
  put(held_threads * large);
  put(log2_of(in_use) - log2_of(sm_count) + in_block - 10);
  put(rows_a_block);
  put(rows_a_block * large);
  put(early);
  put(early * above(blocks, 2));
  put(early * above(blocks, 4));
  put(early_many);
  put(early * size.rows);
  put(early * (size.columns - 11));
  put(early * in_block);
  put(early_many * (size.columns - 11));
  put(early_many * (in_block - 7));
  put(early * above(in_block + blocks, 14));
  put(half_full);
  put(half_full * n);
  put(half_full * (in_block - 7));
  put(unbalanced);
  put(unbalanced * large);
  put(walks * log2_of(plan.walk));
  put(walks * yes(plan.walk == 1));
  put(walks * yes(plan.walk == 2));
  put(walks * (in_block - 8));
  put(walks * (in_block - 8) * large);
}

}  // namespace normquant::choice
