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
    gradient = ops.needs_gradient(x, residual, weight, bias)
    out_alone = not prenorm or residual_dtype is None
    if not gradient and not invariant and out_alone and not (stored and residual is not None):
        out = ops.call(ops.norm_quant, False, x, residual, weight, bias, eps, is_rms_norm, half_even, out_dtype)
        return (out, x) if prenorm else out
    out, residual_out = ops.forward(
        ops.norm_quant_forward, gradient, x, residual, weight, bias, eps, is_rms_norm, half_even, stored, out_dtype,
        residual_dtype, invariant)
    if not prenorm:
        return out
    return out, x if residual_dtype is None else residual_out


def norm_quantise(x, weight=None, bias=None, residual=None, eps=1e-6, is_rms_norm=True, *, dtype=torch.float8_e4m3fn,
                  quant_scale=None, floor=1e-5, half_even=False):
    """Residual add, norm, codes of `dtype` (float8_e4m3fn or int8): what an inference product reads. No gradient.

    Returns codes [..., N]; dequant_scale [M], one a row (None where `quant_scale`, one number for all, is given: the codes
    are y * quant_scale, saturated); and residual_out, x + residual in the residual's type (None without a residual).
    """
    _check_residual("norm_quantise", x, residual)
    codes, dequant_scale, residual_out = ops.norm_quantise(
        x, residual, weight, bias, eps, is_rms_norm, half_even, dtype, _static("norm_quantise", quant_scale), floor,
        None if residual is None else residual.dtype)
    return (codes, dequant_scale if quant_scale is None else None, residual_out if residual is not None else None)


def quantise(x, *, dtype=torch.float8_e4m3fn, quant_scale=None, floor=1e-5, half_even=True):
    """Codes of x [..., N] itself, and dequant_scale [M] (None where `quant_scale` is given). No gradient."""
    codes, dequant_scale = ops.quantise(x, half_even, dtype, _static("quantise", quant_scale), floor)
    return codes, dequant_scale if quant_scale is None else None


def _static(name: str, quant_scale) -> float:
    """The operators take 0 for a scale that each row has by itself."""
    if quant_scale is None:
        return 0.0
    if not quant_scale > 0:
        raise ValueError(f"{name}: quant_scale is {quant_scale}; it must be positive")
    return float(quant_scale)


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
    if not gradient and not invariant and (not prenorm or residual_dtype is None):
        out = ops.call(ops.bit_linear, False, x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps,
                       is_rms_norm, half_even, not like_triton, operand)
        return (out, x) if prenorm else out
    out, residual_out = ops.forward(
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
