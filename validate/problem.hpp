// A problem: operation, shape, types, switches, input values. Everything a case is made of, as one line of text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <normquant/operations.hpp>
#include <normquant/types.hpp>

namespace normquant::validate {

/// operation_named as a list; `bit_linear` stands for forward and backward of the layer. Empty when nothing is called so.
std::vector<Operation> operations_named(std::string_view name);
/// The names for sentences that refuse another one.
inline constexpr std::string_view known_operations = "forward, backward, activation_quant, weight_quant, bit_linear";
/// The short and the full names, for guesses at what was meant.
std::vector<std::string> operation_names();

/// Kinds of input values; what each is for is said in inputs.cpp.
enum class Values {
  normal,           ///< standard normal
  outlier_columns,  ///< a few columns 100 times larger, as language models have
  constant,         ///< every element 0.75
  zeros,
  one_hot,      ///< one non-zero a row, of either sign
  last_column,  ///< only the last column is non-zero
  huge_mean,    ///< mean 1000, standard deviation 1
  large,        ///< rows whose squares sum up to six tenths of float32's largest (float16: magnitudes near its largest)
  tiny,         ///< absmax far below 1e-5
  ties,         ///< y lands exactly on rounding ties
  one_nan,      ///< normal, with one NaN in one row
  one_inf,      ///< normal, with one +Inf in one row
  huge_weight,  ///< a weight whose product with x overflows float32 in every third row, though y does not; with rstd in another
  negative_zeros,
  largest,        ///< the type's largest finite number, of both signs
  subnormals,     ///< magnitudes below the type's smallest normal number
  tiny_variance,  ///< mean 100, standard deviation 0.01
  at_floor,       ///< the row's absmax (or y's) just below, at and just above 1e-5
  last_row,       ///< only the last row is non-zero
  last_nan,       ///< normal, with NaN as the very last element
  minus_inf,      ///< normal, with one -Inf in the first row
  nan_weight,     ///< normal, with one NaN in the weight: no row's y is finite, though all statistics are
  one_large,      ///< normal, with one element a hundred times larger: the row's absmax lies there and nowhere else
  near_ties,      ///< y lies a float32 beside rounding ties: 0.49999997 is no half
  minus_nan,      ///< normal, with one NaN whose sign bit is set
  huge,   ///< the absmax of what is quantised lies between 1e30 and float32's largest (float16: near its largest)
  means,  ///< every row has a mean and a deviation of its own: of both signs, 0.1 to 1000 times the deviation
  // For timing: a kernel's power depends on its values. No suite goes through these.
  uniform,     ///< uniform between -1 and 1
  activations  ///< what a norm of a language model reads: normal, every column with a scale of its own, a few much larger
};
inline constexpr int kinds_of_values = static_cast<int>(Values::means) + 1;  ///< that the suites go through
inline constexpr int named_kinds_of_values = static_cast<int>(Values::activations) + 1;
std::string_view name_of(Values values);
std::optional<Values> values_named(std::string_view name);

/// Names of tensors and of values a row, as failures print them and `offset.NAME=`, `padding.NAME=`, `with=` and `without=` take
/// them.
inline constexpr std::string_view tensor_names[] = {"x",
                                                    "h",
                                                    "w",
                                                    "residual",
                                                    "residual_out",
                                                    "weight",
                                                    "bias",
                                                    "out",
                                                    "codes",
                                                    "packed",
                                                    "dy",
                                                    "dresidual",
                                                    "dx",
                                                    "dx_residual",
                                                    "dweight",
                                                    "dbias",
                                                    "mean",
                                                    "rstd",
                                                    "quant_scale",
                                                    "dequant_scale",
                                                    "dequant_factor",
                                                    "dout",
                                                    "linear_weight",
                                                    "linear_bias",
                                                    "weights.operand",
                                                    "weights.codes",
                                                    "weights.packed",
                                                    "dlinear_weight",
                                                    "dlinear_bias",
                                                    "dnorm_weight",
                                                    "dnorm_bias",
                                                    "weights.dequant_factor",
                                                    "y_q.out"};

/// Where a page that nobody may touch lies beside every tensor, on a device that can close pages: the host. On others tensors lie
/// past the same boundaries.
enum class GuardPage { none, before, behind };

/// One case. Types that are absent mean "tensor not given". Which members an operation uses:
/// all: rows, columns, x, values, row_padding, dense_inputs, dense_outputs, offset, guard, seed, and those of single tensors; forward/backward: norm, rounding, eps, weight, bias;
/// forward: h_source, residual, residual_out, save_quant_scale; backward: dy, dresidual, dx_residual, recompute
/// (out/codes say in which form), save_quant_scale (hand it in); weight_quant: packed. The layer (columns is K_in): what
/// norm_quant_forward and norm_quant_backward use, and the last group of members; its forward: out (of the layer), codes
/// (y_q's codes are handed out, so that the exact products are checked bit for bit), cached; its backward: out (type of
/// dlinear_weight).
struct Problem {
  Operation op = Operation::norm_quant_forward;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  DType x = DType::float32;  ///< x; the backward's h and dx; weight_quant's w
  std::optional<DType> residual, residual_out, weight, bias;
  std::optional<DType> out;  ///< type of the fake-quantised output
  bool codes = false;        ///< codes and, unless the scale is static, dequant_scale
  bool packed = false;
  std::optional<DType> dy, dresidual, dx_residual, dx;  ///< dx: defaults to x's type
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;
  HSource h_source = HSource::unrounded;
  bool save_quant_scale = false;
  float eps = 1e-6F;
  Values values = Values::normal;
  std::int64_t row_padding = 0;  ///< ld - N of every matrix, elements; 16 more for each matrix before it
  bool dense_inputs = false;     ///< only the outputs' rows are padded
  bool dense_outputs = false;    ///< only the inputs' rows are padded
  int offset = 0;                ///< elements by which every tensor starts past a 256-byte boundary
  GuardPage guard = GuardPage::none;
  std::uint64_t seed = 1;

  // Of single tensors, by the names that failures print (tensor_names).
  std::map<std::string, int, std::less<>> offsets;            ///< in place of `offset`
  std::map<std::string, std::int64_t, std::less<>> paddings;  ///< ld - N, in place of `row_padding`
  std::set<std::string, std::less<>> without;  ///< optional outputs that are null though the rest asks for them
  std::set<std::string, std::less<>> with;     ///< optional outputs that are given though nothing asks for them
  std::int64_t at_row = -1,
               at_column = -1;  ///< where the one special value of `values` lies; -1: where inputs.cpp puts it

  std::int64_t k_out = 0;                       ///< 0: as many as columns
  std::optional<DType> operand, linear_weight;  ///< default to x's type
  std::optional<DType> linear_bias;
  bool cached = false;        ///< the weights come quantised
  bool training = false;      ///< the forward also writes the operands that the backward reads
  bool dropped_bias = false;  ///< linear_bias is given and not added (BitLinearLayer::reproduce_dropped_bias)

  Quantisation quantisation;  ///< of norm_quant_forward and activation_quant

  std::int64_t outputs() const { return k_out > 0 ? k_out : columns; }
  DType operand_type() const { return operand.value_or(x); }

  bool operator==(const Problem&) const = default;
};

/// `op=norm_quant_forward shape=4x64 x=bfloat16 norm=rms ...`: every member that differs from its default.
std::string to_text(const Problem& problem);
/// The inverse of to_text; nothing, and a sentence in `why`, when the text is not a valid problem.
std::optional<Problem> parse_problem(std::string_view text, std::string& why);

struct Shape {
  std::int64_t rows = 0, columns = 0;
  std::int64_t k_out = 0;  ///< the layer's; 0: as many as columns
  bool operator==(const Shape&) const = default;
};
/// `MxN` with M in [0, 2^40], N in [1, 2^40] and M * N at most 2^40; nothing and a sentence in `why` otherwise.
std::optional<Shape> parse_shape(std::string_view text, std::string& why);
/// The same, or the layer's `MxK_inxK_out`, which says K_out: 1 or more, and no matrix has more than 2^40 elements.
std::optional<Shape> parse_any_shape(std::string_view text, std::string& why);

}  // namespace normquant::validate
