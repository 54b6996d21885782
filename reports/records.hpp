// Record files, read back: JSON lines as `normquant bench --out` writes them. Knows the format, not the programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace normquant::reports {

/// What an environment record says about the machine. Unknown values are empty.
struct Environment {
  std::string time, commit, version;
  std::string gpu;  ///< product name; empty when the host device ran the cases
  std::string driver, cuda_runtime;
  std::optional<bool> ecc;
  std::optional<double> power_limit_w;
  std::optional<double> launch_floor_us;  ///< an empty kernel in the same run, microseconds
  std::string card;                       ///< tells devices of one kind apart: a GPU's UUID; empty when not recorded
  std::string cpu;
  std::string json;   ///< the whole record, for `--format json`
  std::string apart;  ///< see tell_apart

  /// The GPU's name, or "host".
  std::string device() const { return gpu.empty() ? "host" : gpu; }
  /// The device alone and not its like: timings of two of one kind are never put together.
  std::string one_device() const { return device() + (card.empty() ? "" : " " + card) + apart; }
};

/// What became of one case on one variant.
struct Timing {
  std::size_t environment = 0;  ///< index into RecordSet::environments
  std::string op, variant, auto_variant, shape, dtype, form;
  std::string time_kind;  ///< "steady" or "cpu_execution"
  std::string verdict;    ///< "pass", "skipped", "wrong" or "error"
  std::string reason;
  /// The whole case in one line, as normquant's `--case` takes it; empty when the record lacks it.
  std::string problem;
  std::vector<double> samples;                 ///< microseconds a launch; not empty when passed
  double median_us = 0, q1_us = 0, q3_us = 0;  ///< when passed
  std::int64_t rows = 0, columns = 0;          ///< M and N of `shape`; 0 when it is not MxN
  std::int64_t bytes = 0;                      ///< each input read once, each output written once
  std::int64_t requested_bytes = 0;            ///< as the variant declares, re-reads counted; 0 when not known
  std::optional<double> gb_per_s, copy_us, share_of_copy;  ///< GPU times only
  std::optional<double>
      cold_us;  ///< median of the cold figure (docs/measurement.md), where it was taken; of pooled runs the first's
  std::optional<double>
      sustained_us;  ///< of a long run, where there was one and the samples ride a clock that does not hold

  bool passed() const { return verdict == "pass"; }
  /// `norm_quant_forward 4096x4096 bfloat16 rms`: the case, whatever the variant.
  std::string case_text() const;
};

struct RecordSet {
  std::vector<Environment> environments;
  std::vector<Timing> timings;  ///< in file order; repeated runs of one case on one variant are one entry (see pool)
  std::vector<std::string> warnings;
};

/// Appends the records in `content`. False, and in `why` a sentence that names `file` and the line, when the text is
/// empty, corrupt, or not from normquant. A last line that is cut off, as a killed run leaves it, is a warning. So are times that
/// ride the boost clock (docs/measurement.md).
bool parse_records(std::string_view content, const std::string& file, RecordSet& set, std::string& why);

/// Reads the files one after another; nothing, and a sentence in `why`, when one cannot be read or parsed.
std::optional<RecordSet> read_records(const std::vector<std::string>& files, std::string& why);

/// How far devices of one kind lie apart: a sentence for every two that timed the same cases and variants.
std::vector<std::string> devices_apart(const RecordSet& set);

/// Times taken with another driver, power limit, ECC mode or commit are other times: where environments of one device differ in
/// these, each says by `apart` what is its own, as ", driver 580.1, commit 12ab", and is a device of its own from then on.
void tell_apart(RecordSet& set);

/// From entry `begin` on, leaves out the timings of cases that passed before it on the same device.
void keep_first(RecordSet& set, std::size_t begin);

/// Joins passing timings of the same case, variant and device: their samples are put together and their median and
/// quartiles taken again.
void pool(RecordSet& set);

}  // namespace normquant::reports
