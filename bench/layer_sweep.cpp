// The sweep of the layer: the shapes at which the Triton system's was measured, and those of published models.
#include "bench/sweeps.hpp"

namespace normquant::bench {

Sweep layer_sweep() {
  using validate::Shape;
  const std::vector<Shape> training = {{8192, 4096}, {8192, 2048}, {2048, 4096}, {16384, 2560, 6912}};
  const std::vector<Shape> decoding = {{1, 4096},         {4, 4096},        {8, 4096},        {16, 4096},
                                       {16, 2560},        {16, 2560, 6912}, {16, 6912, 2560}, {16, 4096, 14336},
                                       {16, 14336, 4096}, {16, 8192},       {16, 8192, 28672}};
  const std::vector<DType> bfloat16 = {DType::bfloat16};
  return {"layer",
          "the whole layer, forward and backward, at the shapes of models",
          {{Operation::bit_linear_forward, training, bfloat16, {"rms", "rms+training", "rms+cached", "rms+residual"}},
           {Operation::bit_linear_backward, training, bfloat16, {"rms", "rms+dresidual"}},
           {Operation::bit_linear_forward, decoding, bfloat16, {"rms+cached"}}}};
}

}  // namespace normquant::bench
