#include "validate/device_tensor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace normquant::validate {
namespace {

// On a GPU a copy costs some 10 us before its first byte, and threads wait for each other there.
constexpr std::size_t copy_bytes = std::size_t{32} << 20;  ///< at most, in one copy
constexpr std::size_t whole_bytes = std::size_t{4}
                                    << 20;     ///< a tensor up to this size travels with its guards, at once
constexpr std::size_t short_gap_bytes = 4096;  ///< padding up to this size travels along with its rows
constexpr std::size_t checked_padding_elements = 64;

}  // namespace

DeviceTensor::DeviceTensor(Device& device, std::int64_t rows, std::int64_t columns, std::size_t element_bytes,
                           std::int64_t ld, Placement placement, unsigned char poison)
    : device_(device),
      rows_(rows),
      columns_(columns),
      ld_(ld),
      element_bytes_(element_bytes),
      first_poison_(poison),
      poison_(poison) {
  // Where every access is watched, one beside the tensor is found anyway.
  const bool closes_pages = device.info().kind == DeviceKind::host && !device.watches();
  if (placement.guard != GuardPage::none && closes_pages) {
    allocate_guarded(placement);
  } else {
    allocate(placement);
  }
}

void DeviceTensor::allocate(Placement placement) {
  lead_ = guard_bytes + placement.past, tail_ = guard_bytes;
  memory_ = device_.allocate(lead_ + body_bytes(rows_, columns_, ld_, element_bytes_) + tail_, why_not_);
  if (memory_ != nullptr) data_ = static_cast<unsigned char*>(memory_) + lead_;
}

void DeviceTensor::allocate_guarded(Placement placement) {
  constexpr std::size_t boundary = 256;
  const std::size_t body = body_bytes(rows_, columns_, ld_, element_bytes_);
  guarded_ = GuardedMemory::allocate(placement.past + body + boundary + guard_bytes, why_not_);
  if (guarded_ == nullptr) return;
  data_ = guarded_->begin() + placement.past;
  if (placement.guard == GuardPage::behind) {
    // The last start of that alignment from which it fits.
    const auto room = static_cast<std::size_t>(guarded_->end() - data_) - body;
    data_ += room / boundary * boundary;
  }
  lead_ = std::min<std::size_t>(guard_bytes, static_cast<std::size_t>(data_ - guarded_->begin()));
  tail_ = std::min<std::size_t>(guard_bytes, static_cast<std::size_t>(guarded_->end() - end()));
}

DeviceTensor::~DeviceTensor() {
  if (memory_ != nullptr) device_.release(memory_);
}

std::size_t DeviceTensor::padding_bytes() const {
  return std::min(checked_padding_elements * element_bytes_, stride_bytes() - row_bytes());
}

std::int64_t DeviceTensor::rows_per_copy() const {
  if (stride_bytes() > 2 * row_bytes() + short_gap_bytes) return 1;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(copy_bytes / std::max<std::size_t>(1, stride_bytes())));
}

unsigned char* DeviceTensor::row_address(std::int64_t row) const {
  return data_ + static_cast<std::size_t>(row) * stride_bytes();
}

Status DeviceTensor::write_guards() {
  if (all_bytes() <= whole_bytes) return device_.poison_bytes(data_ - lead_, poison_, all_bytes());
  if (Status status = device_.poison_bytes(data_ - lead_, poison_, lead_); !status.ok()) return status;
  return device_.poison_bytes(end(), poison_, tail_);
}

Status DeviceTensor::poison_all(Poison poison) {
  poison_ = poison == Poison::first ? first_poison_ : second_poison;
  if (Status status = write_guards(); !status.ok() || all_bytes() <= whole_bytes) return status;
  for (std::int64_t row = 0; row < rows_; row += rows_per_copy()) {
    const std::int64_t last = std::min(rows_, row + rows_per_copy()) - 1;
    const std::size_t bytes =
        static_cast<std::size_t>(last - row) * stride_bytes() + row_bytes() + (last + 1 < rows_ ? padding_bytes() : 0);
    if (Status status = device_.poison_bytes(row_address(row), poison_, bytes); !status.ok()) return status;
  }
  return {};
}

Status DeviceTensor::upload(const std::vector<unsigned char>& dense, std::int64_t dense_rows) {
  if (Status status = write_guards(); !status.ok() || row_bytes() == 0) return status;
  std::vector<unsigned char> staged;
  for (std::int64_t first = 0; first < rows_; first += rows_per_copy()) {
    const std::int64_t count = std::min(rows_, first + rows_per_copy()) - first;
    staged.assign(static_cast<std::size_t>(count - 1) * stride_bytes() + row_bytes() + padding_bytes(), poison_);
    for (std::int64_t row = 0; row < count; ++row) {
      std::memcpy(staged.data() + static_cast<std::size_t>(row) * stride_bytes(),
                  dense.data() + static_cast<std::size_t>((first + row) % dense_rows) * row_bytes(), row_bytes());
    }
    const std::size_t bytes = staged.size() - (first + count < rows_ ? 0 : padding_bytes());
    if (Status status = device_.copy_to_device(row_address(first), staged.data(), bytes); !status.ok()) return status;
  }
  return {};
}

bool DeviceTensor::is_damaged(const unsigned char* bytes, std::size_t count) const {
  return std::any_of(bytes, bytes + count, [&](unsigned char byte) { return byte != poison_; });
}

void DeviceTensor::judge_guards(const unsigned char* before, const unsigned char* after, std::string& damage) const {
  if (!damage.empty()) return;
  if (is_damaged(before, lead_)) {
    damage = "the guard band before the first row was written to";
  } else if (is_damaged(after, tail_)) {
    damage = "the guard band after the last row was written to";
  }
}

Status DeviceTensor::check_guards(std::string& damage) const {
  std::vector<unsigned char> before(lead_), after(tail_);
  if (Status status = device_.copy_to_host(before.data(), data_ - lead_, lead_); !status.ok()) return status;
  if (Status status = device_.copy_to_host(after.data(), end(), tail_); !status.ok()) return status;
  judge_guards(before.data(), after.data(), damage);
  return {};
}

std::string DeviceTensor::take_touch() {
  if (guarded_ == nullptr) return {};
  const auto touch = guarded_->take_touch();
  if (!touch) return {};
  const char* const how = touch->written ? "written" : "read";
  if (touch->address < data_) return fmt::format("{} {} bytes before its first element", how, data_ - touch->address);
  return fmt::format("{} {} bytes behind the end of its last row", how, touch->address - end());
}

Status DeviceTensor::read_element(std::int64_t row, std::int64_t column, unsigned char* to) const {
  return device_.copy_to_host(to, row_address(row) + static_cast<std::size_t>(column) * element_bytes_, element_bytes_);
}

bool DeviceTensor::visit_rows(std::int64_t first, std::int64_t count, const unsigned char* elements,
                              const RowVisitor& visitor, std::string& damage) const {
  for (std::int64_t row = first; row < first + count; ++row, elements += stride_bytes()) {
    const std::size_t padding = row + 1 < rows_ ? padding_bytes() : 0;
    if (damage.empty() && is_damaged(elements + row_bytes(), padding)) {
      damage = fmt::format("the padding after row {} was written to", row);
    }
    if (!visitor(row, elements)) return false;
  }
  return true;
}

Status DeviceTensor::visit(const RowVisitor& visitor, std::string& damage) const {
  std::vector<unsigned char> staged;
  if (all_bytes() <= whole_bytes) {
    staged.resize(all_bytes());
    if (Status status = device_.copy_to_host(staged.data(), data_ - lead_, staged.size()); !status.ok()) return status;
    judge_guards(staged.data(), staged.data() + staged.size() - tail_, damage);
    if (row_bytes() != 0) visit_rows(0, rows_, staged.data() + lead_, visitor, damage);
    return {};
  }
  if (Status status = check_guards(damage); !status.ok()) return status;
  if (row_bytes() == 0) return {};
  for (std::int64_t first = 0; first < rows_; first += rows_per_copy()) {
    const std::int64_t count = std::min(rows_, first + rows_per_copy()) - first;
    const std::size_t tail = first + count < rows_ ? padding_bytes() : 0;
    staged.resize(static_cast<std::size_t>(count - 1) * stride_bytes() + row_bytes() + tail);
    if (Status status = device_.copy_to_host(staged.data(), row_address(first), staged.size()); !status.ok()) {
      return status;
    }
    if (!visit_rows(first, count, staged.data(), visitor, damage)) return {};
  }
  return {};
}

}  // namespace normquant::validate
