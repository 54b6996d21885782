#include "reference/norm_quant_backward.hpp"

namespace normquant::reference {
namespace {

/// Sum over rows of multiplicity[row] * values[row].
Vector sum_of_rows(const Array& values, const Vector& multiplicity) {
  return (values.matrix().transpose() * multiplicity.matrix()).array();
}

}  // namespace

NormQuantBackwardResult norm_quant_backward(const Array& dy, const Array& h, const Vector& mean, const Vector& rstd,
                                            const Array* dresidual, const NormQuantBackward& backward,
                                            const Vector* row_multiplicity) {
  const bool layer = backward.norm == NormKind::layer;
  const Vector zeros = Vector::Zero(h.rows());
  const Vector multiplicity = row_multiplicity != nullptr ? *row_multiplicity : Vector::Ones(h.rows());

  NormQuantBackwardResult result;
  result.xhat = (h.colwise() - (layer ? mean : zeros)).colwise() * rstd;
  result.wdy = dy;
  if (backward.weight) result.wdy.rowwise() *= backward.weight->transpose();
  result.c1 = row_mean(result.xhat * result.wdy);
  result.c2 = layer ? row_mean(result.wdy) : zeros;
  result.dx = (result.wdy - ((result.xhat.colwise() * result.c1).colwise() + result.c2)).colwise() * rstd;
  if (dresidual != nullptr) result.dx += *dresidual;
  result.dweight = sum_of_rows(dy * result.xhat, multiplicity);
  result.dbias = sum_of_rows(dy, multiplicity);
  return result;
}

}  // namespace normquant::reference
