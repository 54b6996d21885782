// bit_linear_forward: variants and choice. Its contract is in forward_contract.cpp.
//
//   (weight_quant) -> norm_quant_forward -> product -> bias
//
// Variants differ in the product: of fake-quantised operands; of codes in int32, scaled by a second kernel or by the same;
// or of codes with packed weights.
#include <normquant/bit_linear.hpp>

#include <algorithm>

#include "bit_linear/forward_steps.hpp"
#include "bit_linear/integer_chunks.hpp"
#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/matrix_products.hpp"
#include "device/support.hpp"

namespace normquant {
namespace {

/// Rows up to which the packed weights' few bytes decide.
constexpr std::int64_t most_decode_rows = 16;

// ---- fake_quantised: out = y_q * w_q^T in the operands' type, accumulated in float32.

MatrixProduct fake_quantised_product(const BitLinearForward& a, const Quantised& quantised) {
  MatrixProduct product;
  product.rows = a.rows;
  product.columns = a.layer.k_out;
  product.depth = a.layer.k_in;
  product.transpose_b = true;
  product.a = constant(quantised.norm.args.output.out);
  product.b = constant(a.layer.weights.operand);
  product.d = a.out;
  if (a.layer.adds_bias()) product.bias = a.layer.linear_bias;
  return product;
}

template <class Void>
bool rows_of_16_bytes(const BasicMatrix<Void>& matrix) {
  return packets_aligned(matrix, 16 / static_cast<int>(size_of(matrix.type)));
}

std::string why_not_fake_quantised(const Variant<BitLinearForward>&, const BitLinearForward& a,
                                   const DeviceInfo& device) {
  if (a.products == nullptr) return "needs products (open_matrix_products)";
  if (!a.layer.weights.operand.given()) return "needs weights.operand";
  if (a.layer.adds_bias() && a.layer.linear_bias.type != a.out.type) return "needs linear_bias in out's type";
  if (a.rows == 0) return {};
  Scratch scratch;
  const MatrixProduct product = fake_quantised_product(a, Quantised(a, false, device, scratch));
  if (device.kind == DeviceKind::cuda && product.bias.given() && product.d.type != DType::float32 &&
      !(rows_of_16_bytes(product.a) && rows_of_16_bytes(product.b) && rows_of_16_bytes(product.d))) {
    return "needs rows of the operands and of out that start at multiples of 16 bytes: for others cuBLASLt rounds "
           "before it "
           "adds linear_bias";
  }
  return a.products->why_not(product);
}

std::size_t fake_quantised_workspace(const Variant<BitLinearForward>&, const BitLinearForward& a,
                                     const DeviceInfo& device) {
  Scratch scratch;
  (void)Quantised(a, false, device, scratch);
  (void)scratch.take(a.products->workspace_bytes());
  return scratch.used();
}

Status launch_fake_quantised(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device,
                             void* workspace, Stream stream) {
  Scratch scratch(workspace);
  const Quantised quantised(a, false, device, scratch);
  if (Status status = quantised.launch(device, stream); !status.ok() || a.rows == 0) return status;
  return a.products->multiply(fake_quantised_product(a, quantised), scratch.take(a.products->workspace_bytes()),
                              stream);
}

// ---- integer: exact sums of int8 codes by ternary codes in int32, then scaled, a chunk of rows at a time.

std::int64_t rows_of_chunk(const BitLinearForward& a, const DeviceInfo& device) {
  return rows_of_chunk(a.rows, a.layer.k_out, device.kind);
}

/// The chunk that begins at row `first`.
IntegerProduct integer_product(const BitLinearForward& a, const DeviceInfo& device, const Quantised& quantised,
                               std::int64_t first, std::int32_t* sums) {
  const QuantOutput& y_q = quantised.norm.args.output;
  IntegerProduct product;
  product.rows = std::min(rows_of_chunk(a, device), a.rows - first);
  product.columns = a.layer.k_out;
  product.depth = a.layer.k_in;
  product.a = y_q.codes + first * y_q.ld_codes;
  product.lda = y_q.ld_codes;
  product.b = a.layer.weights.codes;
  product.ldb = a.layer.weights.ld_codes;
  product.d = sums;
  return product;
}

std::int32_t* take_sums(const BitLinearForward& a, const DeviceInfo& device, Scratch& scratch) {
  return static_cast<std::int32_t*>(
      scratch.take(sizeof(std::int32_t) * static_cast<std::size_t>(rows_of_chunk(a, device) * a.layer.k_out)));
}

std::string why_not_integer(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device) {
  if (a.products == nullptr) return "needs products (open_matrix_products)";
  if (a.layer.weights.codes == nullptr) return "needs weights.codes";
  if (a.layer.k_in > most_integer_depth) return "needs K_in to be at most " + std::to_string(most_integer_depth);
  if (a.rows == 0) return {};
  Scratch scratch;
  const Quantised quantised(a, true, device, scratch);
  std::int32_t* sums = take_sums(a, device, scratch);
  std::string why = a.products->why_not(integer_product(a, device, quantised, 0, sums));
  const std::int64_t last = (a.rows - 1) / rows_of_chunk(a, device) * rows_of_chunk(a, device);
  if (why.empty()) why = a.products->why_not(integer_product(a, device, quantised, last, sums));
  return why;
}

std::size_t integer_workspace(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device) {
  Scratch scratch;
  (void)Quantised(a, true, device, scratch);
  (void)take_sums(a, device, scratch);
  (void)scratch.take(a.products->workspace_bytes());
  return scratch.used();
}

Status launch_integer(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device,
                      void* workspace, Stream stream) {
  Scratch scratch(workspace);
  const Quantised quantised(a, true, device, scratch);
  if (Status status = quantised.launch(device, stream); !status.ok()) return status;
  std::int32_t* sums = take_sums(a, device, scratch);
  void* of_products = scratch.take(a.products->workspace_bytes());
  const auto out_row_bytes = a.out.ld * static_cast<std::int64_t>(size_of(a.out.type));
  for (std::int64_t first = 0; first < a.rows; first += rows_of_chunk(a, device)) {
    const IntegerProduct product = integer_product(a, device, quantised, first, sums);
    if (Status status = a.products->multiply(product, of_products, stream); !status.ok()) return status;
    ScaleProduct scaled{product.rows, product.columns, sums, quantised.scales(a), a.out};
    scaled.scales.dequant_scale += first;
    scaled.out.data = static_cast<unsigned char*>(a.out.data) + first * out_row_bytes;
    if (Status status = scale_product(scaled, device, stream); !status.ok()) return status;
  }
  return {};
}

// ---- integer_fused: the same sums, scaled where they were computed.

FusedProduct fused_product_of(const BitLinearForward& a, const Quantised& quantised) {
  const QuantOutput& y_q = quantised.norm.args.output;
  return {a.rows,
          a.layer.k_out,
          a.layer.k_in,
          y_q.codes,
          y_q.ld_codes,
          a.layer.weights.codes,
          a.layer.weights.ld_codes,
          quantised.scales(a),
          a.out};
}

std::string why_not_integer_fused(const Variant<BitLinearForward>&, const BitLinearForward& a,
                                  const DeviceInfo& device) {
  if (a.layer.weights.codes == nullptr) return "needs weights.codes";
  if (a.layer.k_in > most_integer_depth) return "needs K_in to be at most " + std::to_string(most_integer_depth);
  Scratch scratch;
  return why_not_fused_product(fused_product_of(a, Quantised(a, true, device, scratch)), device);
}

/// Of the variants whose product needs no scratch of its own.
std::size_t quantised_workspace(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device) {
  Scratch scratch;
  (void)Quantised(a, true, device, scratch);
  return scratch.used();
}

Status launch_integer_fused(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device,
                            void* workspace, Stream stream) {
  Scratch scratch(workspace);
  const Quantised quantised(a, true, device, scratch);
  if (Status status = quantised.launch(device, stream); !status.ok() || a.rows == 0) return status;
  return fused_product(fused_product_of(a, quantised), device, stream);
}

// ---- packed: the same sums from weights of two bits, for few rows; serves every problem.

std::string why_not_packed(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo&) {
  if (a.layer.weights.packed == nullptr) return "needs weights.packed";
  if (a.layer.k_in > most_integer_depth) return "needs K_in to be at most " + std::to_string(most_integer_depth);
  return {};
}

Status launch_packed(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo& device,
                     void* workspace, Stream stream) {
  Scratch scratch(workspace);
  const Quantised quantised(a, true, device, scratch);
  if (Status status = quantised.launch(device, stream); !status.ok() || a.rows == 0) return status;
  const QuantOutput& y_q = quantised.norm.args.output;
  const BitLinearWeights& weights = a.layer.weights;
  return packed_product({a.rows, a.layer.k_out, a.layer.k_in, y_q.codes, y_q.ld_codes, weights.packed,
                         weights.ld_packed, quantised.scales(a), a.out},
                        device, stream);
}

std::int64_t requested_bytes(const Variant<BitLinearForward>&, const BitLinearForward& a, const DeviceInfo&) {
  return algorithmic_bytes(a);
}

std::vector<Variant<BitLinearForward>> rows_for(DeviceKind kind) {
  std::vector<Variant<BitLinearForward>> rows = {
      {.name = "fake_quantised",
       .summary = "product of fake-quantised operands, as the Triton system's",
       .why_not = why_not_fake_quantised,
       .workspace_bytes = fake_quantised_workspace,
       .requested_bytes = requested_bytes,
       .launch = launch_fake_quantised},
      {.name = "integer",
       .summary = "int8 codes by ternary codes, exact in int32, scaled afterwards",
       .why_not = why_not_integer,
       .workspace_bytes = integer_workspace,
       .requested_bytes = requested_bytes,
       .launch = launch_integer,
       .row_invariant = true},
      {.name = "integer_fused",
       .summary = "int8 codes by ternary codes, exact in int32, scaled in the same kernel (Hopper)",
       .why_not = why_not_integer_fused,
       .workspace_bytes = quantised_workspace,
       .requested_bytes = requested_bytes,
       .launch = launch_integer_fused,
       .device_lacks = [](const auto&, const DeviceInfo& device) { return lacks_fused_product(device); },
       .row_invariant = true},
      {.name = "packed",
       .summary = "int8 codes by packed ternary codes, exact: few rows, any shape",
       .why_not = why_not_packed,
       .workspace_bytes = quantised_workspace,
       .requested_bytes = requested_bytes,
       .launch = launch_packed,
       .row_invariant = true},
  };
  // The host device has no tensor copy engine.
  if (kind == DeviceKind::host) std::erase_if(rows, [](const auto& row) { return row.name == "integer_fused"; });
  return rows;
}

const std::vector<Variant<BitLinearForward>>& table(DeviceKind kind) {
  static const auto host = rows_for(DeviceKind::host), cuda = rows_for(DeviceKind::cuda);
  return kind == DeviceKind::host ? host : cuda;
}

}  // namespace

template <>
const std::vector<Variant<BitLinearForward>>& variants<BitLinearForward>(DeviceKind kind) {
  return table(kind);
}

/// Packed weights where few rows make their bytes decide; else an integer product, the faster at every shape measured
/// (docs/performance.md), where it serves: the fused one from where its tiles keep three quarters of the GPU busy.
template <>
const Variant<BitLinearForward>& choose_variant(const BitLinearForward& a, const DeviceInfo& device) {
  return choose_variant(a, device, false);
}

/// A choice that keeps rows' bits may follow M all the same: products of codes are exact, so whichever variant scales the same sums.
template <>
const Variant<BitLinearForward>& choose_variant(const BitLinearForward& a, const DeviceInfo& device,
                                                bool row_invariant) {
  const auto& all = table(device.kind);
  const auto serves = [&](const Variant<BitLinearForward>& row) { return row.why_not(row, a, device).empty(); };
  const Variant<BitLinearForward>& packed = all.back();
  if (a.rows <= most_decode_rows && serves(packed)) return packed;
  const auto chosen = [&](std::string_view name) -> const Variant<BitLinearForward>* {
    if (name == "integer_fused" && fused_product_load(a.rows, a.layer.k_out, device) < 0.75) return nullptr;
    const auto variant = std::find_if(all.begin(), all.end(), [=](const auto& row) { return row.name == name; });
    return variant != all.end() && serves(*variant) ? &*variant : nullptr;
  };
  for (std::string_view name : {"integer_fused", "integer"}) {
    if (const auto* variant = chosen(name)) return *variant;
  }
  if (row_invariant && serves(packed)) return packed;
  const auto* fake_quantised = chosen("fake_quantised");
  return fake_quantised != nullptr ? *fake_quantised : packed;
}

/// Also for M = 0: the weights are quantised.
template <>
Status launch(const Variant<BitLinearForward>& variant, const BitLinearForward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream) {
  return checked_launch(variant, a, device, workspace, stream);
}

/// A launch first, so that the products find operands to multiply.
Status tune_products(const Variant<BitLinearForward>& variant, const BitLinearForward& a, const DeviceInfo& device,
                     Workspace workspace, Stream stream) {
  if (Status status = launch(variant, a, device, workspace, stream); !status.ok() || a.rows == 0) return status;
  Scratch scratch(workspace.data);
  if (variant.name == "fake_quantised") {
    const Quantised quantised(a, false, device, scratch);
    void* of_products = scratch.take(a.products->workspace_bytes());
    return a.products->tune(fake_quantised_product(a, quantised), of_products, stream);
  }
  if (variant.name != "integer") return {};
  const Quantised quantised(a, true, device, scratch);
  std::int32_t* sums = take_sums(a, device, scratch);
  void* of_products = scratch.take(a.products->workspace_bytes());
  return a.products->tune(integer_product(a, device, quantised, 0, sums), of_products, stream);
}

}  // namespace normquant
