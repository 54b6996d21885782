// What the four operations' prepared problems share: tensors on the device, launching by name, visiting outputs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <normquant/variant.hpp>

#include "kernels/plugin/plugins.hpp"
#include "validate/comparison.hpp"
#include "validate/device_tensor.hpp"
#include "validate/host_tensor.hpp"
#include "validate/operations/borrowed_outputs.hpp"
#include "validate/operations/prepared_problem.hpp"
#include "validate/reference_types.hpp"

namespace normquant::validate {

inline constexpr double least_code = -128, most_code = 127;

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
  return [=](Comparison& comparison, std::int64_t i, std::int64_t j, std::uint32_t bits) {
    comparison.fake_quantised(name, i, j, type, bits, bounds->t(i, j), bounds->t_error(i, j), bounds->dequant_scale(i),
                              bounds->scale_error(i), reference_rounding(rounding), least_code, most_code);
  };
}
inline auto compare_code(const std::string& name, const QuantBounds* bounds, Rounding rounding) {
  return [=](Comparison& comparison, std::int64_t i, std::int64_t j, int code) {
    comparison.code(name, i, j, code, bounds->t(i, j), bounds->t_error(i, j), reference_rounding(rounding), least_code,
                    most_code);
  };
}

/// The first `distinct` rows of a result are compared with the reference; later rows must equal them bit for bit.
template <class Args>
class PreparedBase : public PreparedProblem {
 public:
  PreparedBase(const Problem& problem, Device& device, std::int64_t distinct)
      : problem_(problem), device_(device), distinct_(distinct) {}

  const Problem& problem() const override { return problem_; }
  std::int64_t algorithmic_bytes() const override { return normquant::algorithmic_bytes(args_); }
  choice::Point point() const override {
    if constexpr (requires(const Args& args) { choice::point_of(args); }) return choice::point_of(args_);
    return {};  // an operation without a table
  }
  std::string_view chosen_variant() const override { return choose_variant(args_, device_.info()).name; }
  std::string why_not(std::string_view name) const override {
    const Variant<Args>* variant = find(name);
    if (variant == nullptr) return "there is no variant of that name";
    return variant->why_not(*variant, args_, device_.info());
  }
  std::string device_lacks(std::string_view name) const override {
    const Variant<Args>* variant = find(name);
    if (variant == nullptr || variant->device_lacks == nullptr) return {};
    return variant->device_lacks(*variant, device_.info());
  }
  std::int64_t requested_bytes(std::string_view name) const override {
    const Variant<Args>* variant = find(name);
    return variant == nullptr ? 0 : variant->requested_bytes(*variant, args_, device_.info());
  }

  Status reserve(std::string_view name) override {
    const Variant<Args>* variant = find(name);
    if (variant == nullptr) return no_such_variant(name);
    const std::size_t needed = variant->workspace_bytes(*variant, args_, device_.info());
    if (std::string misdeed = plugins::take_misdeed(); !misdeed.empty()) return Status::infrastructure(misdeed);
    if (needed == workspace_.bytes) return {};
    workspace_ = {};
    scratch_.reset();  // its memory may be needed for the next
    const auto bytes = static_cast<std::int64_t>(needed);
    scratch_ = std::make_unique<DeviceTensor>(device_, 1, bytes, 1, bytes, 0, DeviceTensor::float_poison);
    if (!scratch_->why_not().empty()) return Status::infrastructure(scratch_->why_not());
    workspace_ = {scratch_->data(), needed};
    return scratch_->poison_all();
  }

  Status launch(std::string_view name, Stream stream) override {
    const Variant<Args>* variant = find(name);
    if (variant == nullptr) return no_such_variant(name);
    return normquant::launch(*variant, args_, device_.info(), workspace_, stream);
  }

  Status poison_outputs(Poison poison) override {
    unwritten_.begin(poison);
    for (const Output& output : outputs_) {
      if (Status status = output.tensor->poison_all(poison); !status.ok()) return status;
    }
    return scratch_ == nullptr ? Status{} : scratch_->poison_all();
  }

  Verdict check() override { return compare(*this, *this); }

  Status take_values(const PreparedProblem& other) override {
    const auto& values = static_cast<const PreparedBase&>(other);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const HostTensor& source = *values.inputs_[i].source;
      if (Status status = inputs_[i].tensor->upload(source.bytes, source.rows); !status.ok()) return status;
    }
    return {};
  }

  Status disturb_values(std::uint64_t seed) override {
    std::mt19937_64 random(seed);
    for (const Input& input : inputs_) {
      std::vector<unsigned char> bytes = input.source->bytes;
      const std::size_t element = size_of(input.source->type);
      std::uint64_t bits = 0;
      for (std::size_t i = element - 1, n = 0; i < bytes.size(); i += element, ++n) {
        if (n % 64 == 0) bits = random();
        bytes[i] = static_cast<unsigned char>(bytes[i] ^ ((bits >> (n % 64) & 1U) << 7U));
      }
      if (Status status = input.tensor->upload(bytes, input.source->rows); !status.ok()) return status;
    }
    return {};
  }

  Status launch_into(PreparedProblem& other, std::string_view name, Stream stream) override {
    const Variant<Args>* variant = find(name);
    if (variant == nullptr) return no_such_variant(name);
    const Args args = with_outputs_of(static_cast<PreparedBase&>(other).args_, args_);
    return normquant::launch(*variant, args, device_.info(), workspace_, stream);
  }

  Verdict check_against(const PreparedProblem& inputs, const PreparedProblem& outputs) override {
    return compare(static_cast<const PreparedBase&>(inputs), static_cast<const PreparedBase&>(outputs));
  }

  std::string unwritten_element(std::uint64_t seed) const override {
    constexpr int draws = 64;
    std::mt19937_64 random(seed);
    const auto below = [&random](std::int64_t count) {
      return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(count));
    };
    for (int i = 0; i < draws && !outputs_.empty(); ++i) {
      const Output& output = outputs_[static_cast<std::size_t>(below(static_cast<std::int64_t>(outputs_.size())))];
      const DeviceTensor& t = *output.tensor;
      if (t.rows() == 0 || t.columns() == 0 || output.name.starts_with("weights.")) continue;  // not all are asked for
      const std::int64_t row = below(t.rows()), column = below(t.columns());
      const auto* element = static_cast<const unsigned char*>(t.data()) +
                            static_cast<std::size_t>(row * t.ld() + column) * t.element_bytes();
      if (std::all_of(element, element + t.element_bytes(), [&t](unsigned char byte) { return byte == t.poison(); })) {
        return output.name + "[" + std::to_string(row) + "," + std::to_string(column) + "]";
      }
    }
    return {};
  }

  std::uint64_t digest(std::string& why, std::string& damage) override {
    std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
    for (const Output& output : outputs_) {
      std::string damaged;
      const Status status = output.tensor->visit(
          [&](std::int64_t, const unsigned char* bytes) {
            for (std::size_t i = 0; i < output.row_bytes; ++i) hash = (hash ^ bytes[i]) * 1099511628211ULL;
            return true;
          },
          damaged);
      if (!status.ok()) why = status.message;
      if (damage.empty() && !damaged.empty()) damage = output.name + ": " + damaged;
    }
    return hash;
  }

 protected:
  const Workspace& workspace() const { return workspace_; }
  using CompareRow = std::function<void(Comparison&, std::int64_t row, const unsigned char* elements)>;

  struct Input {
    std::string name;
    std::unique_ptr<DeviceTensor> tensor;
    std::shared_ptr<const HostTensor> source;
  };
  struct Output {
    std::string name;
    std::unique_ptr<DeviceTensor> tensor;
    std::size_t row_bytes = 0;
    CompareRow compare_row;
    std::int64_t distinct = 0;  ///< later rows repeat those before
    bool may_differ = false;    ///< in their last bits, and are then compared with the reference too
  };

  /// [rows, N] inputs whose rows repeat those of `source`.
  ConstMatrix add_input_matrix(std::string name, std::shared_ptr<const HostTensor> source) {
    const std::int64_t ld = input_ld(name, source->columns);
    void* data = add_input(std::move(name), source, problem_.rows, ld);
    return {data, source->type, ld};
  }
  /// [columns] inputs.
  ConstVector add_input_vector(std::string name, std::shared_ptr<const HostTensor> source) {
    void* data = add_input(std::move(name), source, 1, source->columns);
    return {data, source->type};
  }

  /// A [rows, columns] output of `element_bytes` a element; `compare` is called for the distinct rows, as many as the
  /// problem has unless said otherwise, and where `may_differ` for later ones whose bits differ from theirs.
  DeviceTensor* add_output(std::string name, std::int64_t rows, std::int64_t columns, std::size_t element_bytes,
                           std::int64_t ld, unsigned char poison, CompareRow compare, std::int64_t distinct = 0,
                           bool may_differ = false) {
    auto tensor = std::make_unique<DeviceTensor>(device_, rows, columns, element_bytes, ld, offset_of(name), poison);
    DeviceTensor* raw = tensor.get();
    note(*raw);
    outputs_.push_back({std::move(name), std::move(tensor), static_cast<std::size_t>(columns) * element_bytes,
                        std::move(compare), distinct > 0 ? distinct : distinct_, may_differ});
    return raw;
  }
  /// A floating [rows, N] output; `compare(comparison, row, column, bits)` is called element by element.
  template <class Compare>
  Matrix add_output_matrix(std::string name, DType type, Compare compare) {
    const std::int64_t ld = output_ld(name, problem_.columns);
    auto* tensor = add_output(std::move(name), problem_.rows, problem_.columns, size_of(type), ld,
                              DeviceTensor::float_poison, rows_of(type, problem_.columns, compare));
    return {tensor->data(), type, ld};
  }
  /// A floating vector of `length`; compare(comparison, 0, index, bits).
  template <class Compare>
  normquant::Vector add_output_vector(std::string name, DType type, std::int64_t length, Compare compare) {
    auto* tensor = add_output(std::move(name), 1, length, size_of(type), length, DeviceTensor::float_poison,
                              rows_of(type, length, compare));
    return {tensor->data(), type};
  }

  /// A float32 value a row of the matrix: truth(row) and the absolute bound(row).
  template <class Truth, class Bound>
  float* add_row_values(std::string name, Truth truth, Bound bound) {
    const std::int64_t distinct = distinct_;
    auto compare = [name, distinct, truth, bound](Comparison& comparison, std::int64_t, std::int64_t row,
                                                  std::uint32_t bits) {
      comparison.value(name, row, 0, DType::float32, bits, truth(row % distinct), bound(row % distinct));
    };
    auto* tensor = add_output(name, 1, problem_.rows, sizeof(float), problem_.rows, DeviceTensor::float_poison,
                              rows_of(DType::float32, problem_.rows, compare));
    return static_cast<float*>(tensor->data());
  }

  /// int8 codes, in rows of `ld`.
  template <class Compare>
  std::int8_t* add_codes(std::string name, std::int64_t ld, Compare compare) {
    const std::int64_t columns = problem_.columns;
    auto row = [columns, compare](Comparison& comparison, std::int64_t i, const unsigned char* bytes) {
      for (std::int64_t j = 0; j < columns; ++j) compare(comparison, i, j, static_cast<std::int8_t>(bytes[j]));
    };
    auto* tensor = add_output(std::move(name), problem_.rows, columns, 1, ld, DeviceTensor::code_poison, row);
    return static_cast<std::int8_t*>(tensor->data());
  }

  /// The outputs of a row-wise quantisation in the forms that the problem asks for. `bounds` outlives this object.
  QuantOutput add_quantised(const QuantBounds* bounds, std::optional<DType> out, bool codes) {
    QuantOutput output;
    if (out)
      output.out = add_output_matrix("out", *out, compare_fake_quantised("out", *out, bounds, problem_.rounding));
    if (codes || gives("dequant_scale", false)) output.dequant_scale = add_dequant_scale(bounds);
    if (!codes) return output;
    output.ld_codes = output_ld("codes", problem_.columns);
    output.codes = add_codes("codes", output.ld_codes, compare_code("codes", bounds, problem_.rounding));
    return output;
  }
  float* add_dequant_scale(const QuantBounds* bounds) {
    return add_row_values(
        "dequant_scale", [bounds](std::int64_t i) { return bounds->dequant_scale(i); },
        [bounds](std::int64_t i) { return bounds->dequant_scale(i) * bounds->scale_error(i); });
  }

  /// The row stride of the next matrix. Where rows are padded each has its own, so that a kernel that takes one tensor's
  /// for another's is found. They differ by multiples of 16 elements, which leaves every row's alignment as it is.
  std::int64_t input_ld(std::string_view name, std::int64_t columns) {
    return own_ld(name, columns, problem_.dense_inputs ? columns : padded_ld(columns));
  }
  std::int64_t output_ld(std::string_view name, std::int64_t columns) {
    return own_ld(name, columns, problem_.dense_outputs ? columns : padded_ld(columns));
  }
  /// Elements by which the tensor starts past a 256-byte boundary.
  int offset_of(std::string_view name) const {
    const auto own = problem_.offsets.find(name);
    return own == problem_.offsets.end() ? problem_.offset : own->second;
  }
  /// Whether an optional output is given: `usually`, unless the problem names it.
  bool gives(std::string_view name, bool usually = true) const {
    return problem_.with.contains(name) || (usually && !problem_.without.contains(name));
  }

  Problem problem_;
  Device& device_;
  std::int64_t distinct_;
  Args args_{};

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

  /// Checks the contract once everything is set; the sentence goes to `why`.
  bool complete(std::string& why) const {
    why = why_no_memory_;
    if (why.empty() && !upload_status_.ok()) why = upload_status_.message;
    if (why.empty()) why = check_arguments(args_).message;
    return why.empty();
  }

  /// Keeps the first reason why the problem cannot be prepared.
  void note(const DeviceTensor& tensor) {
    if (why_no_memory_.empty()) why_no_memory_ = tensor.why_not();
  }
  void note(Status upload) {
    if (upload_status_.ok()) upload_status_ = std::move(upload);
  }

  /// [rows, columns of source] on the device, rows repeated as needed.
  void* add_input(std::string name, std::shared_ptr<const HostTensor> source, std::int64_t rows, std::int64_t ld) {
    auto tensor = std::make_unique<DeviceTensor>(device_, rows, source->columns, size_of(source->type), ld,
                                                 offset_of(name), DeviceTensor::float_poison);
    note(*tensor);
    if (tensor->why_not().empty() && upload_status_.ok()) upload_status_ = tensor->upload(source->bytes, source->rows);
    void* data = tensor->data();
    inputs_.push_back({std::move(name), std::move(tensor), std::move(source)});
    return data;
  }

  /// The variant of that name, or `auto`; null when there is none.
  const Variant<Args>* find(std::string_view name) const {
    if (name == "auto") return &choose_variant(args_, device_.info());
    for (const Variant<Args>& variant : variants<Args>(device_.info().kind)) {
      if (variant.name == name) return &variant;
    }
    for (const Variant<Args>& variant : plugins::variants<Args>(device_.info().kind)) {
      if (variant.name == name) return &variant;
    }
    return nullptr;
  }

 private:
  std::int64_t own_ld(std::string_view name, std::int64_t columns, std::int64_t usual) const {
    const auto own = problem_.paddings.find(name);
    return own == problem_.paddings.end() ? usual : columns + own->second;
  }
  std::int64_t padded_ld(std::int64_t columns) {
    return problem_.row_padding == 0 ? columns : columns + problem_.row_padding + 16 * matrices_++;
  }

  static Status no_such_variant(std::string_view name) {
    return Status::invalid_argument("there is no variant called " + std::string(name));
  }

  /// Compares this problem's tensors: inputs with the values of `inputs`, outputs with the truth of `truth`.
  Verdict compare(const PreparedBase& inputs, const PreparedBase& truth) {
    Comparison comparison(unwritten_);
    if (Status status = device_.synchronize(); !status.ok()) {
      comparison.failed(status);
      return comparison.verdict();
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      check_output(outputs_[i], truth.outputs_[i].compare_row, comparison);
    for (std::size_t i = 0; i < inputs_.size(); ++i) check_unchanged(inputs_[i], *inputs.inputs_[i].source, comparison);
    if (scratch_ == nullptr) return comparison.verdict();
    std::string damage;
    if (Status status = scratch_->check_guards(damage); !status.ok()) comparison.failed(status);
    if (!damage.empty()) comparison.damaged("scratch memory", damage);
    return comparison.verdict();
  }

  void check_output(const Output& output, const CompareRow& compare_row, Comparison& comparison) const {
    std::vector<unsigned char> first;  // the distinct rows, as written
    std::string damage;
    const std::int64_t elements = problem_.columns;
    const Status status = output.tensor->visit(
        [&](std::int64_t row, const unsigned char* bytes) {
          if (row < output.distinct || output.tensor->rows() == 1) {
            compare_row(comparison, row, bytes);
            if (output.tensor->rows() > output.distinct) first.insert(first.end(), bytes, bytes + output.row_bytes);
            return true;
          }
          const std::int64_t twin_row = row % output.distinct;
          const unsigned char* twin = first.data() + static_cast<std::size_t>(twin_row) * output.row_bytes;
          if (std::memcmp(bytes, twin, output.row_bytes) == 0) {
            comparison.count_equal_row(elements);
          } else if (output.may_differ) {
            compare_row(comparison, row, bytes);
          } else {
            comparison.wrong(output.name, row, 0, "the bits of row " + std::to_string(twin_row), "other bits");
          }
          return true;
        },
        damage);
    if (!status.ok()) comparison.failed(status);
    if (!damage.empty()) comparison.damaged(output.name, damage);
  }

  void check_unchanged(const Input& input, const HostTensor& source, Comparison& comparison) const {
    const std::size_t row_bytes = static_cast<std::size_t>(source.columns) * size_of(source.type);
    std::string damage;
    bool changed = false;
    const Status status = input.tensor->visit(
        [&](std::int64_t row, const unsigned char* bytes) {
          const auto* expected = source.bytes.data() + static_cast<std::size_t>(row % source.rows) * row_bytes;
          changed = std::memcmp(bytes, expected, row_bytes) != 0;
          return !changed;
        },
        damage);
    if (!status.ok()) comparison.failed(status);
    if (changed) damage = "the input was changed";
    if (!damage.empty()) comparison.damaged(input.name, damage);
  }

  std::vector<Input> inputs_;
  std::vector<Output> outputs_;
  std::unique_ptr<DeviceTensor> scratch_;  ///< as large as the last reserve() asked for, between guards
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

std::unique_ptr<PreparedProblem> prepare_norm_quant_forward(const Problem&, Device&, std::int64_t distinct,
                                                            std::string& why);
std::unique_ptr<PreparedProblem> prepare_norm_quant_backward(const Problem&, Device&, std::int64_t distinct,
                                                             std::string& why);
std::unique_ptr<PreparedProblem> prepare_activation_quant(const Problem&, Device&, std::int64_t distinct,
                                                          std::string& why);
std::unique_ptr<PreparedProblem> prepare_weight_quant(const Problem&, Device&, std::int64_t distinct, std::string& why);
std::unique_ptr<PreparedProblem> prepare_bit_linear_forward(const Problem&, Device&, std::int64_t distinct,
                                                            std::string& why);
std::unique_ptr<PreparedProblem> prepare_bit_linear_backward(const Problem&, Device&, std::int64_t distinct,
                                                             std::string& why);

}  // namespace normquant::validate
