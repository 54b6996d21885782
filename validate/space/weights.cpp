// weight_quant: the sum is over the whole matrix, so what matters is how many packets it has, and where rows end.
#include <algorithm>
#include <set>
#include <string_view>

#include "validate/space/cells.hpp"
#include "validate/space/common_factors.hpp"

namespace normquant::validate::space {
namespace {

/// Numbers of packets at which the path changes: threads of a warp and of a block, what a thread keeps, blocks of the device.
std::vector<std::int64_t> packet_counts(const Tuning& t, const DeviceInfo& device) {
  std::set<std::int64_t> all = {1, 2, 3};
  const std::int64_t threads = t.threads_per_row, sms = device.sm_count;
  const auto around = [&](std::int64_t packets) {
    for (std::int64_t d : {-1, 0, 1}) all.insert(packets + d);
  };
  for (std::int64_t warps : {1, 2}) around(32 * warps);
  around(threads);
  around(2 * threads);
  for (std::int64_t kept : {4, 8}) around(threads * kept);
  for (std::int64_t blocks : {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, std::int64_t{4}}) {
    around(sms * blocks * threads);
  }
  for (std::int64_t kept : {4, 8}) around(2 * sms * threads * kept);  // a second tile of every block
  if (t.elements > 8) {
    for (std::int64_t kept : {5, 6, t.elements - 1, t.elements}) around(sms * threads * kept);
  }
  return {all.begin(), all.end()};
}

void choose_outputs(Problem& p, std::size_t i) {
  p.out.reset();
  if (i % 4 == 0 || i % 4 == 3) p.out = i % 8 < 4 ? p.x : p.x == DType::float32 ? DType::float16 : DType::float32;
  p.codes = i % 4 == 1 || i % 4 == 3;
  p.packed = i % 4 == 2 || i % 4 == 3;
}

}  // namespace

std::vector<Run> weight_cells(const Served& served, const DeviceInfo& device, std::uint64_t seed) {
  constexpr DType types[] = {DType::bfloat16, DType::float32, DType::float16};
  constexpr std::int64_t most_elements = std::int64_t{1} << 24;
  std::vector<Run> runs;
  std::size_t drawn = seed;
  for (std::size_t v = 0; v < served.variants().size(); ++v) {
    const Tuning& t = served.variants()[v].tuning;
    const auto add = [&](std::int64_t rows, std::int64_t columns, auto change) {
      Problem p;
      p.op = Operation::weight_quant;
      p.rows = rows, p.columns = columns;
      p.x = types[++drawn % 3];
      p.seed = seed;
      choose_outputs(p, drawn / 3);
      p.guard = guard_of(drawn / 3);
      change(p);
      if (rows * columns <= most_elements && served.by(v, p)) runs.push_back({p, v});
    };
    const auto nothing = [](Problem&) {};
    const auto padded = [](Problem& p) { p.row_padding = 16; };
    for (std::int64_t packets : packet_counts(t, device)) {
      const std::int64_t per_packet = t.access_bytes < 16 ? 4 : types[(drawn + 1) % 3] == DType::float32 ? 4 : 8;
      if (packets * per_packet <= (std::int64_t{1} << 18)) add(1, packets * per_packet, nothing);
      add(packets, per_packet, nothing);
      const std::int64_t again = t.access_bytes < 16 ? 4 : types[(drawn + 1) % 3] == DType::float32 ? 4 : 8;
      add(packets, again, padded);
      // Rows of several packets, so many that the last row ends where the packets do.
      const std::int64_t threads = t.threads_per_row;
      for (std::int64_t per_row : {std::int64_t{3}, threads / 2, threads - 1, threads, threads + 1}) {
        const std::int64_t columns = per_row * (types[(drawn + 1) % 3] == DType::float32 ? 4 : 8);
        if (packets >= per_row) add(packets / per_row, columns, padded);
      }
      // Rows that end amid a packet.
      if (t.access_bytes < 16 && packets > 3) {
        for (std::int64_t rest : {1, 2, 3}) add(packets / 4 + 1, 12 + rest, [&](Problem& p) { p.row_padding = rest; });
      }
    }
    add(2, 64, [](Problem& p) { p.row_padding = 8; });
    // One form alone, or beside all others, whose rows alone have gaps: one element, a packet, and of packed one as well.
    for (const char* form : {"out", "codes", "packed"}) {
      for (const auto& gap : {std::pair{1, true}, {4, true}, {8, false}, {16, false}}) {
        add(8, 64, [&](Problem& p) {
          p.out = p.x, p.codes = p.packed = true;
          if (gap.second) p.out.reset(), p.codes = p.packed = false;
          if (form == std::string_view("out")) p.out = p.x;
          if (form == std::string_view("codes")) p.codes = true;
          if (form == std::string_view("packed")) p.packed = true;
          p.paddings[form] = gap.first;
        });
      }
    }
    // Every kind of value in every form; NaN at every end.
    for (bool gaps : {false, true}) {
      for (int i = 0; i < kinds_of_values; ++i) {
        const auto values = static_cast<Values>(i);
        if (values == Values::huge_weight || values == Values::nan_weight || values == Values::near_ties) continue;
        for (int k = 0; k < 2; ++k) {
          add(7, 520, [&](Problem& p) {
            p.values = values;
            if (gaps) p.row_padding = 8;
            choose_outputs(p, k == 0 ? 3 : drawn % 3);
          });
        }
      }
      for (std::int64_t row : {0, 3, 6}) {
        for (std::int64_t column : {0, 3, 4, 7, 8, 255, 256, 519}) {
          add(7, 520, [&](Problem& p) {
            p.values = column % 2 != 0 ? Values::one_large : row == 3 ? Values::minus_nan : Values::one_nan;
            p.at_row = row, p.at_column = column;
            if (gaps) p.row_padding = 8;
          });
        }
      }
    }
  }
  return runs;
}

}  // namespace normquant::validate::space
