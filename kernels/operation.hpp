// What every operation's .cpp needs: argument checks, the table of tables, the checked launch.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// The first broken rule of a set of arguments; each rule names its argument.
class ArgumentCheck {
 public:
  explicit ArgumentCheck(std::string_view operation) : operation_(operation) {}

  void require(bool holds, const std::string& sentence) {
    if (!holds && status_.ok()) status_ = Status::invalid_argument(std::string(operation_) + ": " + sentence);
  }
  void require_shape(std::int64_t rows, std::int64_t columns) {
    require(rows >= 0, "rows is " + std::to_string(rows) + "; it must be 0 or more");
    require(columns >= 1, "columns is " + std::to_string(columns) + "; it must be 1 or more");
  }
  template <class Void>
  void check_matrix(const char* name, const BasicMatrix<Void>& matrix, std::int64_t columns) {
    if (!matrix.given()) return;
    check_type(name, matrix.type);
    check_ld(name, matrix.ld, columns);
  }
  template <class Void>
  void check_vector(const char* name, const BasicVector<Void>& vector) {
    if (vector.given()) check_type(name, vector.type);
  }
  void check_ld(const char* name, std::int64_t ld, std::int64_t columns) {
    require(ld >= columns, std::string(name) + "'s row stride is " + std::to_string(ld) + "; it must be at least " +
                               std::to_string(columns));
  }
  void check_output(const char* name, const QuantOutput& output, std::int64_t columns, bool has_row_scales = true) {
    check_matrix(name, output.out, columns);
    if (output.codes == nullptr) return;
    check_ld("codes", output.ld_codes, columns);
    require(output.dequant_scale != nullptr || !has_row_scales, "dequant_scale is null; codes mean nothing without it");
  }
  /// The format and scale, and that no value a row is asked for where there is none. Within the limits no scale, and no product
  /// of a scale and rstd, leaves float32's normal numbers.
  void check_quantisation(const Quantisation& q, const QuantOutput& output) {
    require(q.format == QuantFormat::int8 || q.format == QuantFormat::fp8_e4m3, "format is not a known value");
    require(!q.has_static_scale() || (q.static_scale >= 1e-12F && q.static_scale <= 1e12F),
            "static_scale is " + std::to_string(q.static_scale) + "; it must be from 1e-12 to 1e12, or 0 for none");
    require(q.floor >= 1e-12F && q.floor <= 1e30F,
            "floor is " + std::to_string(q.floor) + "; it must be from 1e-12 to 1e30");
    require(!q.has_static_scale() || output.dequant_scale == nullptr,
            "dequant_scale is given, but a static scale has no value a row");
  }
  void check_rounding(Rounding rounding) {
    require(rounding == Rounding::half_away || rounding == Rounding::half_even, "rounding is not a known value");
  }
  void check_norm(NormKind norm) {
    require(norm == NormKind::layer || norm == NormKind::rms, "norm is not a known value");
  }
  Status status() const { return status_; }

 private:
  void check_type(const char* name, DType type) {
    require(type == DType::float32 || type == DType::float16 || type == DType::bfloat16,
            std::string(name) + "'s type is not a known value");
  }

  std::string_view operation_;
  Status status_;
};

/// The rows of several algorithms' tables as one list. Aborts when two share a name: that is a mistake in the source.
template <class Args>
std::vector<Variant<Args>> joined(std::initializer_list<std::vector<Variant<Args>>> tables) {
  std::vector<Variant<Args>> all;
  std::set<std::string_view> names;
  for (const auto& table : tables) {
    for (const Variant<Args>& variant : table) {
      if (!names.insert(variant.name).second) {
        std::fprintf(stderr, "normquant: two variants are called %s\n", std::string(variant.name).c_str());
        std::abort();
      }
      all.push_back(variant);
    }
  }
  return all;
}

/// The checks that come before every launch.
template <class Args>
Status checked_launch(const Variant<Args>& variant, const Args& args, const DeviceInfo& device, Workspace workspace,
                      Stream stream) {
  if (Status status = check_arguments(args); !status.ok()) return status;
  if (std::string reason = variant.why_not(variant, args, device); !reason.empty()) {
    return Status::unsupported(std::string(variant.name) + " " + reason);
  }
  const std::size_t needed = variant.workspace_bytes(variant, args, device);
  if (needed > 0 && (workspace.data == nullptr || workspace.bytes < needed)) {
    return Status::invalid_argument(std::string(variant.name) + " needs a workspace of " + std::to_string(needed) +
                                    " bytes, and was given " + std::to_string(workspace.bytes));
  }
  return variant.launch(variant, args, device, workspace.data, stream);
}

/// Threads that share a row of `columns` elements, where the variant's tuning says so by itself or by what each keeps.
inline double threads_of_row(const Tuning& tuning, std::int64_t columns) {
  if (tuning.threads_per_row > 0) return tuning.threads_per_row;
  const std::int64_t elements = tuning.elements > 0 ? tuning.elements : 1;
  const std::int64_t threads = (columns + elements - 1) / elements;
  return static_cast<double>(threads);
}

/// The rule for devices without a tuned table, safe on all: rows go to as many threads as give each two packets of 16
/// bytes, element accesses only where alignment leaves no choice, and the inputs are read again only where the row fits
/// neither registers nor shared memory. docs/performance.md says what it costs. `allowed(variant)`: whether it may be taken.
template <class Args, class Allowed>
const Variant<Args>& nearest_variant(const std::vector<Variant<Args>>& variants, const Args& args,
                                     const DeviceInfo& device, std::int64_t row_bytes, Allowed&& allowed) {
  const Variant<Args>* best = nullptr;
  double least = 0;
  for (const Variant<Args>& variant : variants) {
    if (!variant.deterministic || !allowed(variant) || !variant.why_not(variant, args, device).empty()) continue;
    double wanted = static_cast<double>(row_bytes) / 32.0, away = 1;
    const double threads = threads_of_row(variant.tuning, args.columns);
    wanted = wanted < 8 ? 8 : wanted > 1024 ? 1024 : wanted;
    away = threads > wanted ? threads / wanted : wanted / threads;
    const double reread = static_cast<double>(variant.requested_bytes(variant, args, device)) /
                          static_cast<double>(algorithmic_bytes(args) + 1);
    const double cost = away * (1 + 4 * (reread > 1.3 ? reread : 0)) * (variant.tuning.access_bytes < 16 ? 4 : 1);
    if (best == nullptr || cost < least) {
      best = &variant;
      least = cost;
    }
  }
  return best != nullptr ? *best : variants.back();
}
template <class Args>
const Variant<Args>& nearest_variant(const std::vector<Variant<Args>>& variants, const Args& args,
                                     const DeviceInfo& device, std::int64_t row_bytes) {
  return nearest_variant(variants, args, device, row_bytes, [](const Variant<Args>&) { return true; });
}

}  // namespace normquant
