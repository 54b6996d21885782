// The named sweeps: real shapes of published models, and shapes at which such kernels are known to stumble.
#include <algorithm>

#include "bench/sweeps.hpp"

namespace normquant::bench {
namespace {

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

CaseGroup group(Operation op, std::vector<Shape> shapes, Forms forms, DType dtype = DType::bfloat16) {
  return {op, std::move(shapes), {dtype}, std::move(forms)};
}

/// The shapes that move at most 256 MiB: larger ones behave like these and take longer.
std::vector<Shape> within(std::vector<Shape> shapes, std::int64_t bytes_per_element) {
  constexpr std::int64_t most_bytes = 256LL << 20;
  std::erase_if(shapes,
                [=](const Shape& shape) { return shape.rows * shape.columns * bytes_per_element > most_bytes; });
  return shapes;
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
  return {"quick",
          "every operation and form once, the main ones at three sizes; a minute or two on a GPU",
          {group(forward, {{16, 4096}, {2048, 2560}, {4096, 4096}}, {"rms"}),
           group(forward, large,
                 {"rms+residual", "layer", "codes", "rms+unaligned", "codes+static", "fp8", "fp8+static",
                  "codes+residual", "fp8+residual", "fp8+static+residual"}),
           group(backward, {{16, 4096}, {2048, 2560}, {4096, 4096}}, {"rms"}),
           group(backward, large, {"rms+dresidual", "layer", "rms+unaligned", "rms+no_out"}),
           group(Operation::activation_quant, large, {"out", "codes", "codes+static", "fp8", "fp8+static"}),
           group(Operation::weight_quant, large, {"out", "packed"}),
           group(Operation::bit_linear_forward, {{2048, 4096}}, {"rms", "rms+cached"}),
           group(Operation::bit_linear_backward, {{2048, 4096}}, {"rms"})}};
}

/// The host device runs each CUDA thread as a fiber, so shapes are tiny.
Sweep host() {
  return {"host",
          "every operation and form at tiny shapes, for the CPU",
          {group(forward, {{4, 256}},
                 {"rms", "rms+residual", "layer", "codes", "rms+unaligned", "codes+static", "fp8", "fp8+static",
                  "codes+residual", "fp8+residual", "fp8+static+residual"}),
           group(forward, {{2, 1000}}, {"rms"}),
           group(backward, {{4, 256}}, {"rms", "rms+dresidual", "layer", "rms+unaligned", "rms+no_out"}),
           group(backward, {{2, 1000}}, {"rms"}),
           group(Operation::activation_quant, {{4, 256}}, {"out", "codes", "codes+static", "fp8", "fp8+static"}),
           group(Operation::weight_quant, {{16, 256}}, {"out", "codes", "packed"}),
           group(Operation::bit_linear_forward, {{4, 256}}, {"rms", "rms+training", "rms+cached", "rms+residual"}),
           group(Operation::bit_linear_backward, {{4, 256}}, {"rms", "rms+dresidual"})}};
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

std::vector<CaseGroup> standing_forward() {
  const std::vector<Shape> small = {{1, 4096}, {16, 4096}, {64, 4096}, {128, 4096}};
  const std::vector<Shape> medium = {{1024, 4096}, {4096, 1024}, {2048, 2560}, {512, 8192}};
  const std::vector<Shape> large = {{65536, 256},  {32768, 512},  {16384, 1024}, {8192, 2048},  {8192, 2560},
                                    {4096, 4096},  {16384, 4096}, {4096, 8192},  {4096, 16384}, {2048, 32768},
                                    {1024, 65536}, {512, 131072}, {256, 262144}};
  const std::vector<Shape> long_rows = {{16, 32768},  {16, 65536},  {16, 131072},
                                        {16, 262144}, {1, 1048576}, {4, 1048576}};
  const std::vector<Shape> cliffs = {{16, 4097},    {4096, 4097}, {4096, 5120}, {4096, 11008},
                                     {4096, 11007}, {8192, 1024}, {8192, 1001}, {65536, 255}};
  const std::vector<Shape> main = {{1, 4096},    {16, 4096},   {128, 4096},  {1024, 4096},  {4096, 1024},
                                   {8192, 2048}, {8192, 2560}, {4096, 4096}, {16384, 4096}, {4096, 8192}};
  const std::vector<Shape> few = {{16, 4096}, {1024, 4096}, {4096, 4096}, {4096, 8192}};
  std::vector<CaseGroup> groups;
  for (const auto& shapes : {small, medium, large, long_rows, cliffs}) {
    groups.push_back(group(forward, shapes, {"rms"}));
  }
  for (const char* form : {"rms+residual", "layer", "codes"}) groups.push_back(group(forward, main, {form}));
  for (DType dtype : {DType::float16, DType::float32}) groups.push_back(group(forward, few, {"rms"}, dtype));
  groups.push_back(group(forward, {{16384, 1024}}, {"rms"}, DType::float32));
  groups.push_back(group(forward, {{4096, 4096}, {1024, 4096}}, {"rms+unaligned"}));
  return groups;
}

std::vector<CaseGroup> standing_backward() {
  const std::vector<Shape> shapes = {{1, 4096},     {16, 4096},    {128, 4096},  {1024, 4096},  {4096, 4096},
                                     {16384, 4096}, {4096, 1024},  {8192, 2048}, {8192, 2560},  {4096, 8192},
                                     {4096, 11008}, {4096, 16384}, {65536, 256}, {2048, 32768}, {1024, 65536},
                                     {512, 131072}, {4096, 4097},  {2048, 2560}};
  const std::vector<Shape> main = {{1, 4096},    {16, 4096},   {128, 4096},   {1024, 4096},
                                   {4096, 4096}, {8192, 2048}, {16384, 4096}, {4096, 8192}};
  const std::vector<Shape> few = {{16, 4096}, {128, 4096}, {1024, 4096}, {4096, 4096}, {8192, 2048}};
  return {group(backward, shapes, {"rms"}),
          group(backward, main, {"rms+dresidual"}),
          group(backward, few, {"layer"}),
          group(backward, {{4096, 4096}}, {"rms"}, DType::float16),
          group(backward, {{4096, 4096}}, {"rms"}, DType::float32),
          group(backward, {{4096, 4096}, {1024, 4096}}, {"rms+unaligned"})};
}

/// Every case that a target is set for, and what a target compares it with (the aligned neighbour of an odd N): one run
/// gives the whole table of scripts/standing.py, which knows the targets.
Sweep standing() {
  Sweep sweep{"standing", "every case that a target is set for, for scripts/standing.py", standing_forward()};
  for (CaseGroup& added : standing_backward()) sweep.groups.push_back(std::move(added));
  sweep.groups.push_back(group(Operation::activation_quant, {{4096, 4096}, {1024, 4096}}, {"out", "codes"}));
  sweep.groups.push_back(
      group(Operation::weight_quant, {{4096, 4096}, {2048, 2048}, {14336, 4096}}, {"out", "codes", "packed"}));
  return sweep;
}

/// What a tuned table is made from. Rms on a dense grid: M in steps of 4, with fewer where little changes, N denser where
/// models are, since the best variant changes with N faster than with M. The other forms, types and alignments have fewer
/// of both, and `weight_quant` next to none: hardly two variants serve it.
Sweep tuning() {
  const Sizes rows = {1, 16, 64, 256, 1024, 8192}, few_rows = {16, 256, 4096};
  const Sizes columns = {256,  512,  768,  1024,  2048,  2560,  3584,  4096,
                         5120, 6912, 8192, 11008, 16384, 28672, 65536, 131072};
  const std::vector<Shape> grid = product(rows, columns);
  const std::vector<Shape> some = product(few_rows, {1024, 2560, 4096, 8192, 16384});
  const std::vector<Shape> few = product(few_rows, {1024, 4096, 16384});
  const std::vector<Shape> long_rows = product({4}, {32768, 65536, 131072});  // a row takes 4, 8 or 16 blocks, by M
  const std::vector<Shape> odd = product({1, 64, 4096}, {255, 1001, 2047, 4097, 11007, 16385});
  return {"tuning",
          "what `normquant tune` makes its table from: all operations on a grid of M and N",
          {group(forward, within(grid, 4), {"rms"}), group(forward, long_rows, {"rms"}),
           group(forward, within(some, 8), {"rms+residual"}), group(forward, within(some, 4), {"layer", "codes"}),
           group(forward, within(odd, 4), {"rms"}), group(forward, within(few, 8), {"rms"}, DType::float32),
           group(backward, within(grid, 8), {"rms"}), group(backward, within(few, 10), {"rms+dresidual"}),
           group(backward, within(few, 8), {"layer"}), group(backward, within(odd, 8), {"rms"}),
           group(backward, within(few, 16), {"rms"}, DType::float32),
           group(Operation::activation_quant, within(few, 4), {"out", "codes"}),
           group(Operation::activation_quant, {{64, 4097}}, {"out", "codes"}),
           group(Operation::weight_quant, {{1024, 1024}, {2048, 2048}, {4096, 4096}}, {"out", "codes", "packed"}),
           group(Operation::weight_quant, {{4096, 4097}}, {"out"})}};
}

/// Shapes between those of `tuning`, to take the regret of its table on. One of `weight_quant` only: where one variant
/// serves there is nothing to regret, and its zeros would flatter the mean.
Sweep held_out() {
  const std::vector<Shape> between = {{2, 4096},   {3, 1280},     {8, 49152},  {32, 3584},   {48, 28672},
                                      {128, 4608}, {128, 12288},  {384, 2048}, {512, 20480}, {2048, 3584},
                                      {3000, 768}, {2048, 13824}, {8192, 1792}};
  const std::vector<Shape> some = {{48, 1536}, {3000, 3072}};
  const std::vector<Shape> odd = {{8, 5001}, {2048, 1535}};
  return {"held_out",
          "shapes between those of tuning, on which `normquant tune` takes the regret of its table",
          {group(forward, between, {"rms"}), group(forward, some, {"rms+residual", "layer", "codes"}),
           group(forward, odd, {"rms"}), group(forward, {{384, 3072}}, {"rms"}, DType::float16),
           group(forward, {{384, 3072}}, {"rms"}, DType::float32), group(backward, between, {"rms"}),
           group(backward, some, {"rms+dresidual"}), group(backward, {{384, 5120}}, {"layer"}),
           group(backward, odd, {"rms"}), group(backward, {{384, 3072}}, {"rms"}, DType::float32),
           group(Operation::activation_quant, {{384, 5120}}, {"out", "codes"}),
           group(Operation::weight_quant, {{6912, 2560}}, {"out"})}};
}

/// Codes of inference: int8 and fp8, by the row's own scale and by a given one.
Sweep formats() {
  const std::vector<Shape> shapes = {{1, 4096}, {512, 4096}, {4096, 4096}, {16384, 4096}, {8192, 8192}};
  const Forms codes = {"codes", "codes+static", "fp8", "fp8+static"};
  return {
      "formats",
      "int8 and fp8 codes by own and by given scales, at five sizes",
      {group(forward, shapes, codes), group(forward, shapes, {"codes+residual", "fp8+residual", "fp8+static+residual"}),
       group(Operation::activation_quant, shapes, codes)}};
}

/// What the gate compares by default: every operation but the layer, at sizes of about 10 us and more and at one of decoding.
/// Few and not too large, because it is processes that count, and each prepares its cases.
Sweep gate() {
  return {"gate",
          "what `normquant gate --against` compares: every operation once or twice, a second a process",
          {group(forward, {{16, 4096}, {2048, 4096}}, {"rms"}), group(backward, {{2048, 4096}}, {"rms"}),
           group(Operation::activation_quant, {{2048, 4096}}, {"out"}),
           group(Operation::weight_quant, {{2048, 2048}}, {"out"})}};
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
  static const std::vector<Sweep> sweeps = {quick(),    host(),        models(),  decode(),   training(),
                                            anchors(),  edges(),       weights(), standing(), tuning(),
                                            held_out(), layer_sweep(), gate(),    formats()};
  return sweeps;
}

}  // namespace normquant::bench
