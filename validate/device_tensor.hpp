// A matrix on a device between guard bands, with poison between its rows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <normquant/device.hpp>

#include "validate/guard_pages.hpp"
#include "validate/host_tensor.hpp"
#include "validate/placement.hpp"
#include "validate/poison.hpp"

namespace normquant::validate {

/// Owns the memory. Layout: guard band, rows of `ld` elements each (the last one without its padding), guard band. Guards and
/// padding (the first 64 elements of it) hold the poison byte and are checked. Where a guard page was asked for and the device
/// is the host, the page takes the place of one guard band.
class DeviceTensor {
 public:
  static constexpr std::size_t guard_bytes = 1024;
  /// Poison::first, by kind of tensor, and Poison::second of all.
  static constexpr unsigned char float_poison = 0xFF;
  static constexpr unsigned char code_poison = 0x80;
  /// Of fp8 0x80 is -0, and all bits set are a NaN that no kernel writes.
  static constexpr unsigned char poison_of_codes(bool fp8) { return fp8 ? float_poison : code_poison; }
  static constexpr unsigned char second_poison = 0x5A;

  DeviceTensor(Device& device, std::int64_t rows, std::int64_t columns, std::size_t element_bytes, std::int64_t ld,
               Placement placement, unsigned char poison);
  ~DeviceTensor();
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  /// Why there is no memory; empty when there is.
  const std::string& why_not() const { return why_not_; }
  void* data() const { return data_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t ld() const { return ld_; }
  std::int64_t columns() const { return columns_; }
  std::size_t element_bytes() const { return element_bytes_; }
  unsigned char poison() const { return poison_; }

  /// Poisons rows, padding and guards. The second poison is that of the guards too, until the first comes back.
  Status poison_all(Poison poison = Poison::first);
  /// Row r becomes row r % (rows of `dense`); padding and guards are poisoned.
  Status upload(const std::vector<unsigned char>& dense, std::int64_t dense_rows);

  /// Called for every row with its elements; stops early when it answers false.
  using RowVisitor = std::function<bool(std::int64_t row, const unsigned char* elements)>;
  /// Downloads the tensor and visits its rows. `damage` names the first guard or padding byte that was overwritten.
  Status visit(const RowVisitor& visitor, std::string& damage) const;
  /// Downloads one element, element_bytes() of it.
  Status read_element(std::int64_t row, std::int64_t column, unsigned char* to) const;
  /// How a guard page beside it was touched since the last call; empty when none was.
  std::string take_touch();
  /// Looks at the guards alone.
  Status check_guards(std::string& damage) const;

 private:
  bool is_damaged(const unsigned char* bytes, std::size_t count) const;
  std::size_t row_bytes() const { return static_cast<std::size_t>(columns_) * element_bytes_; }
  std::size_t stride_bytes() const { return static_cast<std::size_t>(ld_) * element_bytes_; }
  /// Bytes of padding that are poisoned and checked after every row but the last.
  std::size_t padding_bytes() const;
  /// Rows that travel in one copy: many when the padding is short, one when it is long.
  std::int64_t rows_per_copy() const;
  std::size_t all_bytes() const { return lead_ + body_bytes(rows_, columns_, ld_, element_bytes_) + tail_; }
  /// Poisons the guards; of a small tensor all of it.
  Status write_guards();
  /// Given what the guards hold.
  void judge_guards(const unsigned char* before, const unsigned char* after, std::string& damage) const;
  /// Visits `count` rows from `first` on, downloaded to `elements` with their padding; whether the visitor wants more.
  bool visit_rows(std::int64_t first, std::int64_t count, const unsigned char* elements, const RowVisitor& visitor,
                  std::string& damage) const;
  unsigned char* row_address(std::int64_t row) const;
  unsigned char* end() const { return data_ + body_bytes(rows_, columns_, ld_, element_bytes_); }
  void allocate(Placement placement);
  void allocate_guarded(Placement placement);

  Device& device_;
  std::int64_t rows_, columns_, ld_;
  std::size_t element_bytes_;
  unsigned char first_poison_;
  unsigned char poison_;    ///< what guards and padding hold now
  void* memory_ = nullptr;  ///< the device's; null where `guarded_` has it
  std::unique_ptr<GuardedMemory> guarded_;
  unsigned char* data_ = nullptr;
  std::size_t lead_ = 0, tail_ = 0;  ///< bytes of the guard bands before and behind
  std::string why_not_;
};

}  // namespace normquant::validate
