// A forward in files, whose outputs are the reference's own, and what makes bytes of values.
#pragma once

#include <string>

#include "reference/norm_quant_forward.hpp"
#include "run_program.hpp"
#include "tensor_bytes.hpp"
#include "validate/inputs.hpp"

namespace normquant::tests {

using validate::Array;
using validate::HostTensor;
using validate::Tensor;

inline constexpr std::int64_t rows = 5, columns = 136;

inline Bytes bytes_of(const HostTensor& tensor) { return {tensor.bytes.begin(), tensor.bytes.end()}; }
inline Bytes floats(const Array& values) { return bytes_of(HostTensor::of(DType::float32, values)); }
inline Bytes codes(const Array& values) {
  Bytes bytes;
  for (double value : values.reshaped<Eigen::RowMajor>()) bytes += static_cast<char>(static_cast<int>(value));
  return bytes;
}
inline std::string shape(std::int64_t m, std::int64_t n) {
  return "(" + std::to_string(m) + ", " + std::to_string(n) + ")";
}

/// A forward whose outputs are the reference's own, rounded once.
struct Forward {
  ScratchFolder folder{"check"};
  Array x, residual;
  reference::NormQuantForward forward{
      reference::NormKind::rms, reference::Rounding::half_away, static_cast<double>(1e-5F), {}, {}};
  reference::NormQuantForwardResult truth;
  Bytes out;

  Forward() {
    validate::Problem p;
    x = validate::input_tensor(p, Tensor::x, DType::float32, rows, columns).values();
    forward.weight = validate::input_tensor(p, Tensor::weight, DType::float32, 1, columns).values().row(0).transpose();
    truth = reference::norm_quant_forward(x, forward);
    out = floats(truth.out);
    write_file(folder.file("x.npy"), npy("'<f4'", shape(rows, columns), floats(x)));
    write_file(folder.file("w.npy"), npy("'<f4'", "(136,)", floats(forward.weight->transpose())));
    write_out(out);
  }
  void write_out(const Bytes& data) const {
    write_file(folder.file("out.npy"), npy("'<f4'", shape(rows, columns), data));
  }
  std::string command() const {
    return "check --op forward --norm rms --eps 1e-5 --x " + folder.file("x.npy") + " --weight " +
           folder.file("w.npy") + " --out " + folder.file("out.npy");
  }
};

}  // namespace normquant::tests
