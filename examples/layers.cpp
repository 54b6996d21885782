#include "examples/layers.hpp"

#include <stdexcept>
#include <vector>

namespace normquant::example {
namespace {

class ReferenceLayer final : public Layer {
 public:
  explicit ReferenceLayer(const reference::BitLinearParameters& p) { parameters = p; }
  Array forward(const Array& x) override {
    saved_ = reference::bit_linear_forward(x, nullptr, layer());
    return saved_.out;
  }
  Array backward(const Array& dout) override {
    gradients = reference::bit_linear_backward(dout, nullptr, saved_, layer());
    return gradients.dx;
  }

 private:
  reference::BitLinearLayer layer() const {
    return reference::bit_linear(parameters, reference::default_eps::bit_linear);
  }
  reference::BitLinearForwardResult saved_;
};

void must(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message);
}

/// Bytes on the device.
class Memory {
 public:
  Memory(Device& device, std::size_t bytes) : device_(device), bytes_(bytes) {
    std::string why;
    data_ = device.allocate(bytes, why);
    if (data_ == nullptr) throw std::runtime_error(why);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { device_.release(data_); }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device& device_;
  std::size_t bytes_;
  void* data_ = nullptr;
};

/// A float32 matrix on the device, rows without gaps.
class Tensor {
 public:
  Tensor(Device& device, std::int64_t rows, std::int64_t columns)
      : device_(device), columns_(columns), memory_(device, sizeof(float) * static_cast<std::size_t>(rows * columns)) {}
  void write(const Array& values) {
    const std::vector<float> floats(values.data(), values.data() + values.size());
    must(device_.copy_to_device(memory_.data(), floats.data(), sizeof(float) * floats.size()));
  }
  Array read(Eigen::Index rows) const {
    std::vector<float> floats(static_cast<std::size_t>(rows * columns_));
    must(device_.copy_to_host(floats.data(), memory_.data(), sizeof(float) * floats.size()));
    Array values(rows, columns_);
    std::copy(floats.begin(), floats.end(), values.data());
    return values;
  }
  float* data() const { return static_cast<float*>(memory_.data()); }
  Matrix matrix() const { return {memory_.data(), DType::float32, columns_}; }
  ConstMatrix constant() const { return {memory_.data(), DType::float32, columns_}; }
  Vector vector() const { return {memory_.data(), DType::float32}; }
  ConstVector constant_vector() const { return {memory_.data(), DType::float32}; }

 private:
  Device& device_;
  std::int64_t columns_;
  Memory memory_;
};

class DeviceLayer final : public Layer {
 public:
  DeviceLayer(const reference::BitLinearParameters& p, Device& device, MatrixProducts& products, std::int64_t most_rows)
      : device_(device),
        k_in_(p.linear_weight.cols()),
        k_out_(p.linear_weight.rows()),
        x_(device, most_rows, k_in_),
        out_(device, most_rows, k_out_),
        rstd_(device, 1, most_rows),
        dout_(device, most_rows, k_out_),
        dx_(device, most_rows, k_in_),
        norm_weight_(device, 1, k_in_),
        linear_weight_(device, k_out_, k_in_),
        linear_bias_(device, 1, k_out_),
        w_q_(device, k_out_, k_in_),
        factor_(device, 1, 1),
        dnorm_weight_(device, 1, k_in_),
        dlinear_weight_(device, k_out_, k_in_),
        dlinear_bias_(device, 1, k_out_) {
    parameters = p;
    BitLinearLayer layer = bit_linear();
    layer.k_in = k_in_;
    layer.k_out = k_out_;
    layer.operand = DType::float32;
    layer.norm_weight = norm_weight_.constant_vector();
    layer.linear_bias = linear_bias_.constant_vector();
    layer.weights.operand = w_q_.matrix();
    layer.weights.dequant_factor = factor_.data();

    forward_.layer = layer;
    forward_.products = &products;
    forward_.linear_weight = linear_weight_.constant();
    forward_.x = x_.constant();
    forward_.out = out_.matrix();
    forward_.rstd = rstd_.data();

    backward_.layer = layer;
    backward_.products = &products;
    backward_.dout = dout_.constant();
    backward_.h = x_.constant();
    backward_.rstd = rstd_.data();
    backward_.dx = dx_.matrix();
    backward_.dlinear_weight = dlinear_weight_.matrix();
    backward_.dlinear_bias = dlinear_bias_.vector();
    backward_.dnorm_weight = dnorm_weight_.vector();
  }

  Array forward(const Array& x) override {
    x_.write(x);
    norm_weight_.write(parameters.norm_weight->transpose());
    linear_weight_.write(parameters.linear_weight);
    linear_bias_.write(parameters.linear_bias->transpose());
    forward_.rows = backward_.rows = x.rows();
    run(forward_);
    return out_.read(x.rows());
  }

  Array backward(const Array& dout) override {
    dout_.write(dout);
    run(backward_);
    gradients.dx = dx_.read(dout.rows());
    gradients.dnorm_weight = dnorm_weight_.read(1).row(0).transpose();
    gradients.dlinear_weight = dlinear_weight_.read(k_out_);
    gradients.dlinear_bias = dlinear_bias_.read(1).row(0).transpose();
    return gradients.dx;
  }

 private:
  template <class Args>
  void run(const Args& args) {
    const Variant<Args>& variant = choose_variant(args, device_.info());
    const std::size_t bytes = variant.workspace_bytes(variant, args, device_.info());
    if (workspace_ == nullptr || workspace_->bytes() < bytes) workspace_ = std::make_unique<Memory>(device_, bytes);
    must(launch(variant, args, device_.info(), {workspace_->data(), workspace_->bytes()}, nullptr));
    must(device_.synchronize());
  }

  Device& device_;
  std::int64_t k_in_, k_out_;
  Tensor x_, out_, rstd_, dout_, dx_, norm_weight_, linear_weight_, linear_bias_, w_q_, factor_, dnorm_weight_,
      dlinear_weight_, dlinear_bias_;
  std::unique_ptr<Memory> workspace_;
  BitLinearForward forward_;
  BitLinearBackward backward_;
};

}  // namespace

std::unique_ptr<Layer> reference_layer(const reference::BitLinearParameters& parameters) {
  return std::make_unique<ReferenceLayer>(parameters);
}

std::unique_ptr<Layer> device_layer(const reference::BitLinearParameters& parameters, Device& device,
                                    MatrixProducts& products, std::int64_t most_rows) {
  return std::make_unique<DeviceLayer>(parameters, device, products, most_rows);
}

}  // namespace normquant::example
