"""The operations in float64, written from docs/operations.md, with the straight-through gradient. Nothing of normquant is used."""

import numpy as np

FLOOR = 1e-5


def f64(tensor):
    """A tensor's values, exactly."""
    return None if tensor is None else tensor.detach().to("cpu").double().numpy()


def norm(x, residual=None, weight=None, bias=None, eps=1e-6, rms=True):
    """h, xhat, rstd [M, 1], y."""
    h = x if residual is None else x + residual
    centred = h if rms else h - h.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    xhat = centred * rstd
    y = xhat if weight is None else xhat * weight
    return h, xhat, rstd, y if bias is None else y + bias


def quant_scale(y):
    return 127 / np.maximum(np.abs(y).max(-1, keepdims=True), FLOOR)


def round_half(value, half_even):
    return np.rint(value) if half_even else np.sign(value) * np.floor(np.abs(value) + 0.5)


def activations(y, half_even=False):
    scale = quant_scale(y)
    return np.clip(round_half(y * scale, half_even), -128, 127) / scale


def weights(w):
    mean = max(np.abs(w).mean(), FLOOR)
    return np.clip(np.rint(w / mean), -1, 1) * mean


def norm_backward(dy, xhat, rstd, weight=None, dresidual=None, rms=True):
    """dx, dweight, dbias."""
    wdy = dy if weight is None else dy * weight
    c1 = (xhat * wdy).mean(-1, keepdims=True)
    c2 = 0 if rms else wdy.mean(-1, keepdims=True)
    dx = (wdy - (xhat * c1 + c2)) * rstd
    rows = tuple(range(dy.ndim - 1))
    return dx if dresidual is None else dx + dresidual, (dy * xhat).sum(rows), dy.sum(rows)
