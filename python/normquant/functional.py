"""The functions that users of the Triton system call: the same names, arguments, defaults and returns (docs/python.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from normquant import ops

# What the Triton system's bit_linear computes with, whatever eps it is given.
_TRITON_BIT_LINEAR_EPS = 1e-6


def activation_quant(x: Tensor) -> Tensor:
    """Per-token 8-bit fake quantisation of x [..., N], rounded half to even. Straight-through gradient."""
    return ops.call(ops.activation_quant, ops.needs_gradient(x), x, True)


def weight_quant(w: Tensor) -> Tensor:
    """Ternary fake quantisation of w [K_out, K_in] with one scale. Straight-through gradient."""
    return ops.call(ops.weight_quant, ops.needs_gradient(w), w, None)


def _operand(x: Tensor) -> torch.dtype:
    """The product's type: autocast's where that is on, else x's."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _residual_dtype(x: Tensor, residual, residual_in_fp32: bool):
    """The type of the residual stream that is stored; None when h is x itself."""
    if residual is not None:
        return residual.dtype
    return torch.float32 if residual_in_fp32 and x.dtype != torch.float32 else None


def _check_residual(name: str, x: Tensor, residual) -> None:
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"{name}: residual has the shape {list(residual.shape)} and x {list(x.shape)}; they must be equal")


def norm_quant(x, weight=None, bias=None, residual=None, eps=1e-6, prenorm=False, residual_in_fp32=False,
               is_rms_norm=False, *, half_even=False, stored=False, out_dtype=None, invariant=False):
    """Residual add, norm, per-row 8-bit fake quantisation: the layer without its product.

    Returns out [..., N], and the residual stream h too with `prenorm`. `stored` takes the statistics from h as stored.
    `invariant`: a row's bits, and its gradient's, do not follow the number of rows (docs/row_invariance.md).
    """
    _check_residual("norm_quant", x, residual)
    residual_dtype = _residual_dtype(x, residual, residual_in_fp32)
    out, _mean, _rstd, residual_out = ops.call(
        ops.norm_quant_forward, ops.needs_gradient(x, residual, weight, bias), x, residual, weight, bias, eps, is_rms_norm,
        half_even, stored, out_dtype, residual_dtype, invariant)
    if not prenorm:
        return out
    return out, x if residual_dtype is None else residual_out


def layer_norm_linear_quant_fn(x, norm_weight, norm_bias, linear_weight, linear_bias, residual=None, eps=1e-6,
                               prenorm=False, residual_in_fp32=False, is_rms_norm=False, *, like_triton=False,
                               half_even=False, invariant=False):
    """Residual add, norm, 8-bit activations, ternary weights, product, bias. x is [..., K_in], linear_weight [K_out, K_in].

    Returns out [..., K_out] in autocast's type or x's, and the residual stream too with `prenorm`. `like_triton` multiplies
    fake-quantised operands, as the Triton system does; without it the product sums integer codes, which is exact.
    `invariant`: a row's bits do not follow the number of rows (docs/row_invariance.md); not with `like_triton`.
    """
    _check_residual("layer_norm_linear_quant_fn", x, residual)
    operand = _operand(x)
    residual_dtype = _residual_dtype(x, residual, residual_in_fp32)
    if linear_bias is not None and linear_bias.dtype != operand:
        linear_bias = linear_bias.to(operand)
    gradient = ops.needs_gradient(x, residual, norm_weight, norm_bias, linear_weight, linear_bias)
    out, _w_q, _mean, _rstd, residual_out = ops.call(
        ops.bit_linear_forward, gradient, x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps, is_rms_norm,
        half_even, not like_triton, gradient, operand, residual_dtype, invariant)
    if not prenorm:
        return out
    return out, x if residual_dtype is None else residual_out


def rms_norm_linear_quant(x, norm_weight, norm_bias, linear_weight, linear_bias, residual=None, eps=1e-5, prenorm=False,
                          residual_in_fp32=False, *, like_triton=False, invariant=False):
    """layer_norm_linear_quant_fn with RMS norm."""
    return layer_norm_linear_quant_fn(x, norm_weight, norm_bias, linear_weight, linear_bias, residual, eps, prenorm,
                                      residual_in_fp32, True, like_triton=like_triton, invariant=invariant)


def bit_linear(x, weight, bias=None, norm_weight=None, norm_bias=None, eps=1e-8, *, like_triton=False, invariant=False):
    """BitLinear as a function, with RMS norm. The Triton system ignores eps and takes 1e-6: so does `like_triton`."""
    return layer_norm_linear_quant_fn(x, norm_weight, norm_bias, weight, bias,
                                      eps=_TRITON_BIT_LINEAR_EPS if like_triton else eps, is_rms_norm=True,
                                      like_triton=like_triton, invariant=invariant)
