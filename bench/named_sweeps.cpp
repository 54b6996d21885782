// The named sweeps: real shapes of published models, and shapes at which such kernels are known to stumble.
#include <algorithm>

#include "bench/sweeps.hpp"

namespace normquant::bench {
namespace {

using validate::Operation;
using validate::Shape;
using Sizes = std::vector<std::int64_t>;
using Forms = std::vector<std::string>;

constexpr Operation forward = Operation::norm_quant_forward;
constexpr Operation backward = Operation::norm_quant_backward;

std::vector<Shape> product(const Sizes& rows, const Sizes& columns) {
  std::vector<Shape> shapes;
  for (std::int64_t n : columns) {
    for (std::int64_t m : rows) shapes.push_back({m, n});
  }
  return shapes;
}

CaseGroup group(Operation op, std::vector<Shape> shapes, Forms forms) {
  return {op, std::move(shapes), {DType::bfloat16}, std::move(forms)};
}

/// Every width of every published model, each once, ascending.
Sizes published_widths() {
  Sizes widths;
  for (const PublishedModel& model : published_models()) {
    widths.insert(widths.end(), model.widths.begin(), model.widths.end());
  }
  std::sort(widths.begin(), widths.end());
  widths.erase(std::unique(widths.begin(), widths.end()), widths.end());
  return widths;
}

/// A minute or two on a GPU: every operation and form at one large shape, the main forms at two more.
Sweep quick() {
  const std::vector<Shape> large = {{4096, 4096}};
  return {
      "quick",
      "every operation and form once, the main ones at three sizes; a minute or two on a GPU",
      {group(forward, {{16, 4096}, {2048, 2560}, {4096, 4096}}, {"rms"}),
       group(forward, large, {"rms+residual", "layer", "codes"}),
       group(backward, {{16, 4096}, {2048, 2560}, {4096, 4096}}, {"rms"}),
       group(backward, large, {"rms+dresidual", "layer"}), group(Operation::activation_quant, large, {"out", "codes"}),
       group(Operation::weight_quant, large, {"out", "packed"})}};
}

/// The host device runs each CUDA thread as a fiber, so shapes are tiny.
Sweep host() {
  return {"host",
          "every operation and form at tiny shapes, for the CPU",
          {group(forward, {{4, 256}}, {"rms", "rms+residual", "layer", "codes"}), group(forward, {{2, 1000}}, {"rms"}),
           group(backward, {{4, 256}}, {"rms", "rms+dresidual", "layer"}), group(backward, {{2, 1000}}, {"rms"}),
           group(Operation::activation_quant, {{4, 256}}, {"out", "codes"}),
           group(Operation::weight_quant, {{16, 256}}, {"out", "codes", "packed"})}};
}

Sweep models() {
  const std::vector<Shape> shapes = product({16, 8192}, published_widths());
  return {"models",
          "every width of every published model, decoding 16 rows and training on 8192",
          {group(forward, shapes, {"rms", "rms+residual"}), group(backward, shapes, {"rms", "rms+dresidual"})}};
}

Sweep decode() {
  return {"decode",
          "every width of every published model at 1 to 256 rows, forward",
          {group(forward, product({1, 2, 4, 8, 16, 32, 64, 128, 256}, published_widths()),
                 {"rms", "rms+residual", "codes"})}};
}

/// The largest, 65536 x 28672 with two residual streams, moves 15 GB a launch: wants a GPU with 80 GB.
Sweep training() {
  const std::vector<Shape> shapes = product({2048, 4096, 8192, 16384, 32768, 65536}, published_widths());
  return {"training",
          "every width of every published model at 2048 to 65536 rows, forward and backward",
          {group(forward, shapes, {"rms", "rms+residual"}), group(backward, shapes, {"rms", "rms+dresidual"})}};
}

/// The rows of the table of the Triton system's figures, measured in the same way (rotated buffers in a CUDA graph).
Sweep anchors() {
  const std::vector<Shape> shapes = {{1, 4096},     {16, 4096},   {128, 4096},   {1024, 4096},
                                     {4096, 1024},  {8192, 2048}, {8192, 2560},  {4096, 4096},
                                     {16384, 4096}, {4096, 8192}, {4096, 11008}, {4096, 16384}};
  return {"anchors",
          "the shapes at which the Triton system was measured",
          {group(forward, shapes, {"rms", "rms+residual", "layer"}),
           group(backward, shapes, {"rms", "rms+dresidual", "layer"})}};
}

/// N just above and below powers of two (where tuned sizes end), odd and prime N (no 16-byte rows), small N with many
/// rows, large N with few.
Sweep edges() {
  const std::vector<Shape> around =
      product({256, 4096}, {997, 1023, 1025, 2047, 2049, 4095, 4097, 5001, 8193, 11007, 16385, 32769});
  const std::vector<Shape> extreme = {{65536, 64}, {65536, 256}, {1, 262144}, {4, 1048576}};
  Sweep sweep{"edges", "N around powers of two, odd N, very small and very large N", {}};
  for (const auto& shapes : {around, extreme}) {
    sweep.groups.push_back(group(forward, shapes, {"rms", "layer"}));
    sweep.groups.push_back(group(backward, shapes, {"rms"}));
  }
  return sweep;
}

/// [K_out, K_in] of linear layers of the published models.
Sweep weights() {
  const std::vector<Shape> shapes = {{1024, 1024}, {2048, 2048},  {2560, 2560},  {6912, 2560},
                                     {4096, 4096}, {14336, 4096}, {18944, 3584}, {28672, 8192}};
  return {"weights",
          "weight matrices of the published models",
          {group(Operation::weight_quant, shapes, {"out", "codes", "packed"})}};
}

}  // namespace

const std::vector<PublishedModel>& published_models() {
  static const std::vector<PublishedModel> models = {
      {"BitNet b1.58 2B4T",
       "config.json of huggingface.co/microsoft/bitnet-b1.58-2B-4T (arXiv:2504.12285)",
       {2560, 6912}},
      {"MatMul-free LM 370M", "config.json of huggingface.co/ridger/MMfreeLM-370M (arXiv:2406.02528)", {1024}},
      {"MatMul-free LM 1.3B", "config.json of huggingface.co/ridger/MMfreeLM-1.3B (arXiv:2406.02528)", {2048}},
      {"MatMul-free LM 2.7B", "config.json of huggingface.co/ridger/MMfreeLM-2.7B (arXiv:2406.02528)", {2560}},
      {"Llama 3 8B", "config.json of huggingface.co/meta-llama/Meta-Llama-3-8B (arXiv:2407.21783)", {4096, 14336}},
      {"Llama 3 70B", "config.json of huggingface.co/meta-llama/Meta-Llama-3-70B (arXiv:2407.21783)", {8192, 28672}},
      {"Qwen2.5 7B", "config.json of huggingface.co/Qwen/Qwen2.5-7B (arXiv:2412.15115)", {3584, 18944}}};
  return models;
}

const std::vector<Sweep>& named_sweeps() {
  static const std::vector<Sweep> sweeps = {quick(),    host(),    models(), decode(),
                                            training(), anchors(), edges(),  weights()};
  return sweeps;
}

}  // namespace normquant::bench
