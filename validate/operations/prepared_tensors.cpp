#include "validate/operations/prepared_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace normquant::validate {

namespace {

/// FNV-1a over words of 8 bytes, since results are large, with the upper half folded into the lower after each. Every step is
/// one to one, so a single word that differs always shows.
std::uint64_t hash_of(const unsigned char* bytes, std::size_t count, std::uint64_t hash) {
  const auto take = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * 1099511628211ULL;
    hash ^= hash >> 32U;
  };
  std::size_t i = 0;
  for (; i + sizeof(std::uint64_t) <= count; i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, sizeof word);
    take(word);
  }
  for (; i < count; ++i) take(bytes[i]);
  return hash;
}

}  // namespace

std::vector<MovedMatrix> PreparedTensors::matrices() const {
  std::vector<MovedMatrix> matrices;
  const auto add = [&matrices](const DeviceTensor& tensor, bool written) {
    const std::int64_t elements = tensor.rows() * tensor.columns();
    if (tensor.rows() > 1) matrices.push_back({elements * static_cast<std::int64_t>(tensor.element_bytes()), written});
  };
  for (const Input& input : inputs_) add(*input.tensor, false);
  for (const Output& output : outputs_) add(*output.tensor, true);
  return matrices;
}

Status PreparedTensors::poison_outputs(Poison poison) {
  unwritten_.begin(poison);
  for (const Output& output : outputs_) {
    if (Status status = output.tensor->poison_all(poison); !status.ok()) return status;
  }
  return scratch_ == nullptr ? Status{} : scratch_->poison_all();
}

Status PreparedTensors::take_values(const PreparedProblem& other) {
  const auto& values = static_cast<const PreparedTensors&>(other);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const HostTensor& source = *values.inputs_[i].source;
    if (Status status = inputs_[i].tensor->upload(source.bytes, source.rows); !status.ok()) return status;
  }
  return {};
}

Status PreparedTensors::disturb_values(std::uint64_t seed) {
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

Verdict PreparedTensors::check_against(const PreparedProblem& inputs, const PreparedProblem& outputs) {
  return compare(static_cast<const PreparedTensors&>(inputs), static_cast<const PreparedTensors&>(outputs));
}

std::optional<PreparedTensors::Element> PreparedTensors::draw_element(std::mt19937_64& random) const {
  const auto below = [&random](std::int64_t count) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(count));
  };
  if (outputs_.empty()) return {};
  const Output& output = outputs_[static_cast<std::size_t>(below(static_cast<std::int64_t>(outputs_.size())))];
  const DeviceTensor& t = *output.tensor;
  if (t.rows() == 0 || t.columns() == 0 || output.name.starts_with("weights.")) return {};  // not all are asked for
  return Element{&output, below(t.rows()), below(t.columns())};
}

std::string PreparedTensors::unwritten_element(std::uint64_t seed) const {
  constexpr int draws = 64;
  std::mt19937_64 random(seed);
  for (int i = 0; i < draws; ++i) {
    const std::optional<Element> drawn = draw_element(random);
    if (!drawn) continue;
    const DeviceTensor& t = *drawn->output->tensor;
    const auto* element = static_cast<const unsigned char*>(t.data()) +
                          static_cast<std::size_t>(drawn->row * t.ld() + drawn->column) * t.element_bytes();
    if (std::all_of(element, element + t.element_bytes(), [&t](unsigned char byte) { return byte == t.poison(); })) {
      return drawn->output->name + "[" + std::to_string(drawn->row) + "," + std::to_string(drawn->column) + "]";
    }
  }
  return {};
}

Status PreparedTensors::read_element(std::uint64_t seed, std::vector<unsigned char>& bytes) const {
  std::mt19937_64 random(seed);
  const std::optional<Element> drawn = draw_element(random);
  if (!drawn) return {};
  const DeviceTensor& t = *drawn->output->tensor;
  bytes.resize(bytes.size() + t.element_bytes());
  return t.read_element(drawn->row, drawn->column, &bytes[bytes.size() - t.element_bytes()]);
}

std::uint64_t PreparedTensors::digest(std::string& why, std::string& damage) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const Output& output : outputs_) {
    std::string damaged;
    const Status status = output.tensor->visit(
        [&](std::int64_t, const unsigned char* bytes) {
          hash = hash_of(bytes, output.row_bytes, hash);
          return true;
        },
        damaged);
    if (!status.ok()) why = status.message;
    if (damage.empty() && !damaged.empty()) damage = output.name + ": " + damaged;
  }
  return hash;
}

std::unique_ptr<DeviceTensor> PreparedTensors::make_tensor(std::string_view name, std::int64_t rows,
                                                           std::int64_t columns, std::size_t element_bytes,
                                                           std::int64_t ld, unsigned char poison) {
  const Placement placement = placement_of(problem_, name, body_bytes(rows, columns, ld, element_bytes), element_bytes);
  return std::make_unique<DeviceTensor>(device_, rows, columns, element_bytes, ld, placement, poison);
}

void PreparedTensors::take_touch(std::string_view name, DeviceTensor& tensor, std::vector<std::string>& findings) {
  const std::string touch = tensor.take_touch();
  if (!touch.empty()) findings.push_back(fmt::format("out of bounds: {} was {}", name, touch));
}

std::vector<std::string> PreparedTensors::take_findings() {
  std::vector<std::string> findings;
  for (const Input& input : inputs_) take_touch(input.name, *input.tensor, findings);
  for (const Output& output : outputs_) take_touch(output.name, *output.tensor, findings);
  if (scratch_ != nullptr) take_touch("scratch memory", *scratch_, findings);
  return findings;
}

Status PreparedTensors::visit_rows(const std::function<void(const RowOutput&)>& look) {
  for (const Output& output : outputs_) {
    const bool of_weights = output.name.starts_with("weights.") || output.name == "dlinear_weight";
    if (of_weights || output.extent == Extent::of_all_rows) continue;
    const DeviceTensor& t = *output.tensor;
    std::string damage;  // is check()'s
    Status status = t.visit(
        [&](std::int64_t row, const unsigned char* bytes) {
          if (output.extent == Extent::a_row_a_row) {
            look({output.name, row, t.columns(), t.element_bytes(), bytes});
          } else {
            for (std::int64_t i = 0; i < t.columns(); ++i) {
              look({output.name, i, 1, t.element_bytes(), bytes + static_cast<std::size_t>(i) * t.element_bytes()});
            }
          }
          return true;
        },
        damage);
    if (!status.ok()) return status;
  }
  return {};
}

void* PreparedTensors::add_input(std::string name, std::shared_ptr<const HostTensor> source, std::int64_t rows,
                                 std::int64_t ld) {
  auto tensor = make_tensor(name, rows, source->columns, size_of(source->type), ld, DeviceTensor::float_poison);
  note(*tensor);
  if (tensor->why_not().empty() && upload_status_.ok()) upload_status_ = tensor->upload(source->bytes, source->rows);
  void* data = tensor->data();
  inputs_.push_back({std::move(name), std::move(tensor), std::move(source)});
  return data;
}

ConstMatrix PreparedTensors::add_input_matrix(const std::string& name,
                                              const std::shared_ptr<const HostTensor>& source) {
  const std::int64_t ld = input_ld(name, source->columns);
  void* data = add_input(name, source, problem_.rows, ld);
  return {data, source->type, ld};
}

ConstVector PreparedTensors::add_input_vector(const std::string& name,
                                              const std::shared_ptr<const HostTensor>& source) {
  void* data = add_input(name, source, 1, source->columns);
  return {data, source->type};
}

DeviceTensor* PreparedTensors::add_output(std::string name, std::int64_t rows, std::int64_t columns,
                                          std::size_t element_bytes, std::int64_t ld, unsigned char poison,
                                          CompareRow compare, std::int64_t distinct, bool may_differ) {
  auto tensor = make_tensor(name, rows, columns, element_bytes, ld, poison);
  DeviceTensor* raw = tensor.get();
  note(*raw);
  outputs_.push_back({std::move(name), std::move(tensor), static_cast<std::size_t>(columns) * element_bytes,
                      std::move(compare), distinct > 0 ? distinct : distinct_, may_differ});
  return raw;
}

QuantOutput PreparedTensors::add_quantised(const QuantBounds* bounds, std::optional<DType> out, bool codes) {
  QuantOutput output;
  if (out) output.out = add_output_matrix("out", *out, compare_fake_quantised("out", *out, bounds, problem_.rounding));
  const Quantisation& q = problem_.quantisation;
  if (gives("dequant_scale", codes && !q.has_static_scale())) output.dequant_scale = add_dequant_scale(bounds);
  if (!codes) return output;
  output.ld_codes = output_ld("codes", problem_.columns);
  output.codes = add_codes("codes", output.ld_codes, compare_code("codes", bounds, problem_.rounding),
                           q.format == QuantFormat::fp8_e4m3);
  return output;
}
float* PreparedTensors::add_dequant_scale(const QuantBounds* bounds) {
  return add_row_values(
      "dequant_scale", [bounds](std::int64_t i) { return bounds->dequant_scale(i); },
      [bounds](std::int64_t i) { return bounds->dequant_scale(i) * bounds->scale_error(i); });
}

void PreparedTensors::note(const DeviceTensor& tensor) {
  if (why_no_memory_.empty()) why_no_memory_ = tensor.why_not();
}
void PreparedTensors::note(Status upload) {
  if (upload_status_.ok()) upload_status_ = std::move(upload);
}

std::int64_t PreparedTensors::own_ld(std::string_view name, std::int64_t columns, std::int64_t usual) const {
  const auto own = problem_.paddings.find(name);
  return own == problem_.paddings.end() ? usual : columns + own->second;
}
std::int64_t PreparedTensors::padded_ld(std::int64_t columns) {
  return problem_.row_padding == 0 ? columns : columns + problem_.row_padding + 16 * matrices_++;
}

Verdict PreparedTensors::compare(const PreparedTensors& inputs, const PreparedTensors& truth) {
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

void PreparedTensors::check_output(const Output& output, const CompareRow& compare_row, Comparison& comparison) const {
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

void PreparedTensors::check_unchanged(const Input& input, const HostTensor& source, Comparison& comparison) {
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

Status PreparedTensors::reserve_bytes(std::size_t needed) {
  if (needed == workspace_.bytes) return {};
  workspace_ = {};
  scratch_.reset();  // its memory may be needed for the next
  const auto bytes = static_cast<std::int64_t>(needed);
  const Placement aligned{0, problem_.guard};
  scratch_ = std::make_unique<DeviceTensor>(device_, 1, bytes, 1, bytes, aligned, DeviceTensor::float_poison);
  if (!scratch_->why_not().empty()) return Status::infrastructure(scratch_->why_not());
  workspace_ = {scratch_->data(), needed};
  return scratch_->poison_all();
}

std::string PreparedTensors::why_incomplete() const {
  return why_no_memory_.empty() ? upload_status_.message : why_no_memory_;
}

}  // namespace normquant::validate
