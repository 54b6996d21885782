// The tensors of a prepared problem: inputs with what they hold, outputs with how each is compared, scratch memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

#include "validate/comparison.hpp"
#include "validate/device_tensor.hpp"
#include "validate/host_tensor.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/reference_types.hpp"

namespace normquant::validate {

inline Vector rounded_to_float(const Vector& values) { return values.cast<float>().cast<double>(); }

/// How often each of the distinct rows occurs.
inline Vector multiplicity_of(std::int64_t rows, std::int64_t distinct) {
  Vector multiplicity(distinct);
  for (std::int64_t i = 0; i < distinct; ++i) {
    const std::int64_t times = (rows - i + distinct - 1) / distinct;
    multiplicity(i) = static_cast<double>(times);
  }
  return multiplicity;
}

/// How an element of the fake-quantised output, and of the codes, is compared with the truth.
inline auto compare_fake_quantised(const std::string& name, DType type, const QuantBounds* bounds, Rounding rounding) {
  const CodeGrid grid = CodeGrid::of(bounds->quantisation.format, reference_rounding(rounding));
  return [=](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
    comparison.fake_quantised(name, i, j, type, bits, bounds->t(i, j), bounds->t_error(i, j), bounds->dequant_scale(i),
                              bounds->scale_error(i), grid);
  };
}
inline auto compare_code(const std::string& name, const QuantBounds* bounds, Rounding rounding) {
  const CodeGrid grid = CodeGrid::of(bounds->quantisation.format, reference_rounding(rounding));
  return [=](Comparison& comparison, std::int64_t i, std::int64_t j, int code) {
    comparison.code(name, i, j, code, bounds->t(i, j), bounds->t_error(i, j), grid);
  };
}

/// The first `distinct` rows of a result are compared with the reference; later rows must equal them bit for bit.
class PreparedTensors : public PreparedProblem {
 public:
  PreparedTensors(const Problem& problem, Device& device, std::int64_t distinct)
      : problem_(problem), device_(device), distinct_(distinct) {}

  const Problem& problem() const override { return problem_; }
  std::vector<MovedMatrix> matrices() const override;
  Status poison_outputs(Poison poison) override;
  Verdict check() override { return compare(*this, *this); }
  Status take_values(const PreparedProblem& other) override;
  Status disturb_values(std::uint64_t seed) override;
  Verdict check_against(const PreparedProblem& inputs, const PreparedProblem& outputs) override;
  std::string unwritten_element(std::uint64_t seed) const override;
  Status read_element(std::uint64_t seed, std::vector<unsigned char>& bytes) const override;
  std::uint64_t digest(std::string& why, std::string& damage) override;
  std::vector<std::string> take_findings() override;
  Status visit_rows(const std::function<void(const RowOutput&)>& look) override;

 protected:
  using CompareRow = std::function<void(Comparison&, std::int64_t row, const unsigned char* elements)>;

  /// [rows, N] inputs whose rows repeat those of `source`.
  ConstMatrix add_input_matrix(const std::string& name, const std::shared_ptr<const HostTensor>& source);
  /// [columns] inputs.
  ConstVector add_input_vector(const std::string& name, const std::shared_ptr<const HostTensor>& source);
  /// [rows, columns of source] on the device, rows repeated as needed.
  void* add_input(std::string name, std::shared_ptr<const HostTensor> source, std::int64_t rows, std::int64_t ld);

  /// A [rows, columns] output of `element_bytes` a element; `compare` is called for the distinct rows, as many as the
  /// problem has unless said otherwise, and where `may_differ` for later ones whose bits differ from theirs.
  DeviceTensor* add_output(std::string name, std::int64_t rows, std::int64_t columns, std::size_t element_bytes,
                           std::int64_t ld, unsigned char poison, CompareRow compare, std::int64_t distinct = 0,
                           bool may_differ = false);
  /// A floating [rows, N] output; `compare(comparison, row, column, bits)` is called element by element.
  template <class Compare>
  Matrix add_output_matrix(const std::string& name, DType type, Compare compare) {
    const std::int64_t ld = output_ld(name, problem_.columns);
    auto* tensor = add_output(name, problem_.rows, problem_.columns, size_of(type), ld, DeviceTensor::float_poison,
                              rows_of(type, problem_.columns, compare));
    return {tensor->data(), type, ld};
  }
  /// A floating vector of `length`; compare(comparison, 0, index, bits).
  template <class Compare>
  normquant::Vector add_output_vector(const std::string& name, DType type, std::int64_t length, Compare compare) {
    auto* tensor =
        add_output(name, 1, length, size_of(type), length, DeviceTensor::float_poison, rows_of(type, length, compare));
    outputs_.back().extent = Extent::of_all_rows;
    return {tensor->data(), type};
  }

  /// A float32 value a row of the matrix: truth(row) and the absolute bound(row).
  template <class Truth, class Bound>
  float* add_row_values(const std::string& name, Truth truth, Bound bound) {
    const std::int64_t distinct = distinct_;
    auto compare = [name, distinct, truth, bound](Comparison& comparison, std::int64_t, std::int64_t row,
                                                  std::uint32_t bits) {
      comparison.value(name, row, 0, DType::float32, bits, truth(row % distinct), bound(row % distinct));
    };
    auto* tensor = add_output(name, 1, problem_.rows, sizeof(float), problem_.rows, DeviceTensor::float_poison,
                              rows_of(DType::float32, problem_.rows, compare));
    outputs_.back().extent = Extent::a_value_a_row;
    return static_cast<float*>(tensor->data());
  }

  /// Codes of a byte, in rows of `ld`.
  template <class Compare>
  std::int8_t* add_codes(const std::string& name, std::int64_t ld, Compare compare, bool fp8 = false) {
    const std::int64_t columns = problem_.columns;
    auto row = [columns, compare](Comparison& comparison, std::int64_t i, const unsigned char* bytes) {
      for (std::int64_t j = 0; j < columns; ++j) compare(comparison, i, j, static_cast<std::int8_t>(bytes[j]));
    };
    auto* tensor = add_output(name, problem_.rows, columns, 1, ld, DeviceTensor::poison_of_codes(fp8), row);
    return static_cast<std::int8_t*>(tensor->data());
  }

  /// The outputs of a row-wise quantisation in the forms that the problem asks for. `bounds` outlives this object.
  QuantOutput add_quantised(const QuantBounds* bounds, std::optional<DType> out, bool codes);
  float* add_dequant_scale(const QuantBounds* bounds);

  /// The row stride of the next matrix. Where rows are padded each has its own, so that a kernel that takes one tensor's
  /// for another's is found. They differ by multiples of 16 elements, which leaves every row's alignment as it is.
  std::int64_t input_ld(std::string_view name, std::int64_t columns) {
    return own_ld(name, columns, problem_.dense_inputs ? columns : padded_ld(columns));
  }
  std::int64_t output_ld(std::string_view name, std::int64_t columns) {
    return own_ld(name, columns, problem_.dense_outputs ? columns : padded_ld(columns));
  }
  /// Memory for the tensor of that name, placed as the problem says.
  std::unique_ptr<DeviceTensor> make_tensor(std::string_view name, std::int64_t rows, std::int64_t columns,
                                            std::size_t element_bytes, std::int64_t ld, unsigned char poison);
  /// Appends how a guard page beside a tensor was touched.
  static void take_touch(std::string_view name, DeviceTensor& tensor, std::vector<std::string>& findings);
  /// Whether an optional output is given: `usually`, unless the problem names it.
  bool gives(std::string_view name, bool usually = true) const {
    return problem_.with.contains(name) || (usually && !problem_.without.contains(name));
  }

  template <class Compare>
  static CompareRow rows_of(DType type, std::int64_t columns, Compare compare) {
    return [type, columns, compare](Comparison& comparison, std::int64_t row, const unsigned char* bytes) {
      for (std::int64_t column = 0; column < columns; ++column) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, bytes + static_cast<std::size_t>(column) * size_of(type), size_of(type));
        compare(comparison, row, column, bits);
      }
    };
  }

  /// Memory for a launch, between guards and poisoned; kept while the size stays.
  Status reserve_bytes(std::size_t needed);
  const Workspace& workspace() const { return workspace_; }

  /// Why the problem cannot be prepared: no memory, or an upload that failed; empty when nothing.
  std::string why_incomplete() const;
  /// Keeps the first reason.
  void note(const DeviceTensor& tensor);
  void note(Status upload);

  Problem problem_;
  Device& device_;
  std::int64_t distinct_;

 private:
  struct Input {
    std::string name;
    std::unique_ptr<DeviceTensor> tensor;
    std::shared_ptr<const HostTensor> source;
  };
  /// What of an output belongs to a row of the problem.
  enum class Extent { a_row_a_row, a_value_a_row, of_all_rows };
  struct Output {
    std::string name;
    std::unique_ptr<DeviceTensor> tensor;
    std::size_t row_bytes = 0;
    CompareRow compare_row;
    std::int64_t distinct = 0;  ///< later rows repeat those before
    bool may_differ = false;    ///< in their last bits, and are then compared with the reference too
    Extent extent = Extent::a_row_a_row;
  };

  struct Element {
    const Output* output;
    std::int64_t row, column;
  };

  /// An element of an output; none when the one drawn has none, or need not be written.
  std::optional<Element> draw_element(std::mt19937_64& random) const;
  std::int64_t own_ld(std::string_view name, std::int64_t columns, std::int64_t usual) const;
  std::int64_t padded_ld(std::int64_t columns);
  Verdict compare(const PreparedTensors& inputs, const PreparedTensors& truth);
  void check_output(const Output& output, const CompareRow& compare_row, Comparison& comparison) const;
  static void check_unchanged(const Input& input, const HostTensor& source, Comparison& comparison);

  std::vector<Input> inputs_;
  std::vector<Output> outputs_;
  std::unique_ptr<DeviceTensor> scratch_;  ///< as large as the last reserve_bytes() asked for, between guards
  Workspace workspace_;
  Unwritten unwritten_;        ///< of the launches since the outputs were last poisoned
  std::int64_t matrices_ = 0;  ///< with padded rows, so far
  std::string why_no_memory_;
  Status upload_status_;
};

/// A per-row vector of `rows` values that repeat those of `distinct`.
inline HostTensor repeated_row_values(const Vector& distinct, std::int64_t rows) {
  Array values(1, rows);
  for (std::int64_t i = 0; i < rows; ++i) values(0, i) = distinct(i % distinct.size());
  return HostTensor::of(DType::float32, values);
}

/// The values of a one-row tensor.
inline Vector vector_values(const HostTensor& tensor) { return tensor.values().row(0).transpose(); }

}  // namespace normquant::validate
