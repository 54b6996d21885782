// Trains a network of three BitLinear layers with the library on a device and with the float64 reference, side by side, and
// prints both curves of the loss.
//
//   train_bit_linear [--device host|cuda] [--steps N] [--rows N] [--out FILE]
//
// Data: examples/waveforms.hpp. The network: 40 -> 64 -> 64 -> 8 outputs (three are used) with ReLU between, softmax
// cross-entropy, stochastic gradient descent. Both start from the same weights and see the same samples. The layers run on
// the device; what is between them (ReLU, loss, the step) runs here in float64 for both, so that what differs is the layer.
//
// Ends with 0 when the device's loss fell at least nine tenths as far as the reference's, 1 when it did not, 2 for bad
// arguments, 5 when the device failed, 77 when there is no GPU.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <CLI/CLI.hpp>

#include "examples/layers.hpp"
#include "examples/waveforms.hpp"
#include "exit_status.hpp"

namespace normquant::example {
namespace {

constexpr std::int64_t sizes[] = {waveform_features, 64, 64, 8};
constexpr double learning_rate = 0.05;

using Network = std::vector<std::unique_ptr<Layer>>;

/// He's initialisation; norms start at 1, biases at 0.
std::vector<reference::BitLinearParameters> initial_parameters() {
  std::mt19937_64 generator(1);
  const auto uniform = [&] { return 2 * static_cast<double>(generator() >> 11) * 0x1p-53 - 1; };
  std::vector<reference::BitLinearParameters> all;
  for (std::size_t i = 0; i + 1 < std::size(sizes); ++i) {
    const std::int64_t k_in = sizes[i], k_out = sizes[i + 1];
    reference::BitLinearParameters p;
    p.norm_weight = reference::Vector::Ones(k_in);
    p.linear_weight = Array(k_out, k_in);
    const double bound = std::sqrt(6.0 / static_cast<double>(k_in));
    for (Eigen::Index n = 0; n < p.linear_weight.size(); ++n) {
      p.linear_weight.data()[n] = static_cast<float>(bound * uniform());
    }
    p.linear_bias = reference::Vector::Zero(k_out);
    all.push_back(p);
  }
  return all;
}

/// Mean cross-entropy of the softmax over the classes' outputs; d_outputs is its gradient.
double loss_of(const Array& outputs, const int* classes, Array& d_outputs) {
  const auto used = outputs.leftCols(waveform_classes);
  Array shares = (used.colwise() - used.rowwise().maxCoeff().eval()).exp();
  shares.colwise() /= shares.rowwise().sum().eval();
  double loss = 0;
  d_outputs = Array::Zero(outputs.rows(), outputs.cols());
  const auto rows = static_cast<double>(outputs.rows());
  d_outputs.leftCols(waveform_classes) = shares / rows;
  for (Eigen::Index i = 0; i < outputs.rows(); ++i) {
    loss -= std::log(shares(i, classes[i])) / rows;
    d_outputs(i, classes[i]) -= 1 / rows;
  }
  return loss;
}

/// Parameters are float32, as a device has them.
template <class Values, class Gradient>
void descend(Values& values, const Gradient& gradient) {
  values = reference::round_to_storage(Array(values - learning_rate * gradient), reference::Storage::float32);
}
void descend(std::optional<reference::Vector>& values, const std::optional<reference::Vector>& gradient) {
  Array row = values->transpose();
  descend(row, Array(gradient->transpose()));
  *values = row.row(0).transpose();
}

/// One step of gradient descent; the loss before it.
double train_step(Network& network, const Array& samples, const int* classes) {
  std::vector<Array> inputs = {samples};
  for (std::size_t i = 0; i < network.size(); ++i) {
    const Array outputs = network[i]->forward(inputs.back());
    inputs.push_back(i + 1 < network.size() ? Array(outputs.max(0.0)) : outputs);
  }
  Array gradient;
  const double loss = loss_of(inputs.back(), classes, gradient);
  for (std::size_t i = network.size(); i-- > 0;) {
    gradient = network[i]->backward(reference::round_to_storage(gradient, reference::Storage::float32));
    if (i > 0) gradient *= (inputs[i] > 0).cast<double>();
  }
  for (auto& layer : network) {
    descend(layer->parameters.norm_weight, layer->gradients.dnorm_weight);
    descend(layer->parameters.linear_weight, layer->gradients.dlinear_weight);
    descend(layer->parameters.linear_bias, layer->gradients.dlinear_bias);
  }
  return loss;
}

struct Options {
  std::string device = "host", out;
  int steps = 200, rows = 256;
};

struct Curves {
  std::vector<double> device, reference;
};

double mean_of(const std::vector<double>& losses, std::size_t first, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += losses[first + i];
  return sum / static_cast<double>(count);
}

Curves train(const Options& options, Device& device, MatrixProducts& products) {
  Network on_device, reference;
  for (const auto& parameters : initial_parameters()) {
    on_device.push_back(device_layer(parameters, device, products, options.rows));
    reference.push_back(reference_layer(parameters));
  }
  Curves curves;
  for (int step = 0; step < options.steps; ++step) {
    const Waveforms batch = draw_waveforms(options.rows, std::uint64_t{1} + static_cast<std::uint64_t>(step));
    curves.device.push_back(train_step(on_device, batch.samples, batch.classes.data()));
    curves.reference.push_back(train_step(reference, batch.samples, batch.classes.data()));
  }
  return curves;
}

int report(const Options& options, const Curves& curves, const std::string& device) {
  std::FILE* file = options.out.empty() ? nullptr : std::fopen(options.out.c_str(), "w");
  if (!options.out.empty() && file == nullptr) {
    fmt::print(stderr, "train_bit_linear: cannot write {}\n", options.out);
    return exit_infrastructure;
  }
  double apart = 0;
  if (file != nullptr) fmt::print(file, "step,{},reference\n", device);
  for (std::size_t i = 0; i < curves.device.size(); ++i) {
    const double difference = std::abs(curves.device[i] - curves.reference[i]);
    apart = difference <= apart ? apart : difference;
    if (file != nullptr) fmt::print(file, "{},{:.6f},{:.6f}\n", i, curves.device[i], curves.reference[i]);
    if (i % 20 == 0 || i + 1 == curves.device.size()) {
      fmt::print("step {:>4}  loss on {} {:.4f}  reference {:.4f}\n", i, device, curves.device[i], curves.reference[i]);
    }
  }
  const bool written = file == nullptr || std::fclose(file) == 0;
  // Single steps scatter with their samples, so the ends are means.
  const std::size_t count = std::min<std::size_t>(10, curves.device.size() / 2);
  const auto fall = [&](const std::vector<double>& losses) {
    return mean_of(losses, 0, count) - mean_of(losses, losses.size() - count, count);
  };
  const double fell = fall(curves.device), reference_fell = fall(curves.reference);
  fmt::print("the loss fell by {:.4f} on {} and by {:.4f} in the reference; largest difference in a step {:.2g}\n",
             fell, device, reference_fell, apart);
  if (!written) return exit_infrastructure;
  return reference_fell > 0 && fell >= 0.9 * reference_fell ? exit_pass : exit_wrong_results;
}

int run(const Options& options) {
  std::string why;
  const bool host = options.device == "host";
  const auto device = host ? open_host_device() : open_cuda_device(0, why);
  if (device == nullptr) {
    fmt::print(stderr, "train_bit_linear: no GPU is usable: {}\n", why);
    return exit_gpu_absent;
  }
  const auto products = open_matrix_products(device->info(), why);
  if (products == nullptr) {
    fmt::print(stderr, "train_bit_linear: {}\n", why);
    return exit_infrastructure;
  }
  return report(options, train(options, *device, *products), options.device);
}

}  // namespace
}  // namespace normquant::example

int main(int argc, char** argv) {
  using namespace normquant;
  CLI::App app{"Trains a small BitLinear network on a device and in the reference, and compares the losses",
               "train_bit_linear"};
  example::Options options;
  app.add_option("--device", options.device, "host or cuda")
      ->check(CLI::IsMember({"host", "cuda"}))
      ->capture_default_str();
  app.add_option("--steps", options.steps, "steps of gradient descent")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
  app.add_option("--rows", options.rows, "samples a step")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--out", options.out, "write the curves to this file, comma-separated");
  try {
    app.parse(argc, argv);
    return example::run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_pass : exit_usage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_bit_linear: {}\n", error.what());
    return exit_infrastructure;
  }
}
