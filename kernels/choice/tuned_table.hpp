// Tuned tables: which variants were fastest on one device, as text.
//
//   # a comment
//   device NVIDIA H200
//   compute_capability 9.0
//   sm_count 132
//   norm_quant_forward bfloat16 rms+out aligned 16 4096 one_variant=1.00 another=1.04
//
// The head says for which device the table is; compute_capability and sm_count may be left out. Every further line is a
// cell: operation, type of x, form (point.hpp), aligned or unaligned, M, N, and the fastest variants, best first, each
// with its time over the best time. Variants that could not be told apart from the best have 1.00, the simplest first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <normquant/device.hpp>

#include "choice/point.hpp"

namespace normquant::choice {

/// A variant in a cell.
struct Listed {
  std::string variant;
  double cost = 1;  ///< its time over the time of the best
};

/// Variants that a cell lists at most.
inline constexpr std::size_t most_listed = 6;
/// Slower variants are not listed.
inline constexpr double most_listed_cost = 1.30;

struct Cell {
  Point point;
  std::vector<Listed> listed;  ///< 1 to most_listed, costs ascending
};

struct TunedTable {
  std::string device;          ///< as the driver reports it; "host" for the host device
  int compute_capability = 0;  ///< 10 * major + minor; 0: not said
  int sm_count = 0;            ///< 0: not said
  std::vector<Cell> cells;
};

/// The table of that text. False, with a sentence that names the line in `why`, when it is malformed.
bool parse_table(std::string_view text, TunedTable& table, std::string& why);

/// The text of a table, with `comments` (a line each, without '#') on top and the cells in the table's order.
std::string to_text(const TunedTable& table, const std::vector<std::string>& comments);

/// Whether the table was made for this device.
bool is_for(const TunedTable& table, const DeviceInfo& device);

/// Whether the table was made for a device with the same processor: compute capability and number of multiprocessors. Such
/// GPUs differ in memory and clocks (NVIDIA H100 and H200), which matters less to the choice than the processor does.
bool is_for_same_processor(const TunedTable& table, const DeviceInfo& device);

/// `nvidia_h200.table` for NVIDIA H200.
std::string file_name(std::string_view device);

}  // namespace normquant::choice
