// Arrays and switches of the reference. All arithmetic is float64; a storage type only says how a value is rounded
// when it is stored.
#pragma once

#include <limits>

#include <Eigen/Core>

namespace normquant::reference {

/// A matrix, row by row: one row a token (activations) or an output feature (linear weights).
using Array = Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
/// One number a row, or one a column.
using Vector = Eigen::ArrayXd;

/// Which norm: `layer` subtracts the mean, `rms` does not (docs/operations.md, section 1).
enum class NormKind { layer, rms };

/// Where a tie goes: away from zero, or to the even integer (docs/operations.md, section 5).
enum class Rounding { half_away, half_even };

/// What codes are: integers, or numbers of fp8 e4m3 (docs/operations.md, section 8).
enum class Format { int8, fp8_e4m3 };

/// Type in which a tensor is stored. `float64` stands for "not rounded".
enum class Storage { float64, float32, float16, bfloat16 };

/// Floor of absmax and absmean (docs/operations.md, sections 1 and 3). A float32 kernel's floor is 1e-5 rounded to float32:
/// 2.5e-8 less, relatively, an error that a bound on its scale must count.
inline constexpr double scale_floor = 1e-5;

/// In what format and by what scale rows are quantised (docs/operations.md, section 8).
struct Quantisation {
  Format format = Format::int8;
  double static_scale = 0;  ///< quant_scale of the whole tensor; 0: each row has its own, by its absmax
  double floor = scale_floor;
  bool has_static_scale() const { return static_scale != 0; }
};

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The mean of each row.
inline Vector row_mean(const Array& values) { return values.rowwise().sum() / static_cast<double>(values.cols()); }

/// `value` as a float32 kernel stores it: rounded to float32, and from there to `storage`, to nearest even both times.
double round_to_storage(double value, Storage storage);

/// The same for every element.
Array round_to_storage(const Array& values, Storage storage);

/// The integer nearest to `value`; NaN stays NaN.
double round_to_integer(double value, Rounding rounding);

/// The numbers of e4m3: multiples of 2^-9 up to 2^-6, then 8 between two powers of two, up to 448.
namespace e4m3 {
inline constexpr double largest = 448;
/// The distance of the numbers beside `value`, whose magnitude is 448 at most.
double spacing(double value);
/// The nearest number, ties to that with an even last bit, 448 beyond it; NaN stays NaN.
double nearest(double value);
/// The number that a byte stands for.
double of_bits(unsigned bits);
}  // namespace e4m3

/// What a code of the format may be: the nearest to `value`, clamped. NaN is code 0 of int8, and NaN of fp8.
double code_of(double value, Format format, Rounding rounding);

}  // namespace normquant::reference
