"""Float64 values, each with a bound on how far an honest float32 evaluation may lie from it (running error analysis: Higham,
Accuracy and Stability of Numerical Algorithms, section 3.3). Nothing of normquant is used.

Every function takes and returns Bounded arrays. It adds to the errors of its operands, carried through exactly, what its own
roundings add: gamma(n) = n u / (1 - n u) of the sum of magnitudes after n roundings, whatever the order of a sum. Divisions, roots
and exponentials may be 4 u off, as in docs/numerics.md."""

from typing import NamedTuple

import numpy as np

# float64's own roundings are 2^-29 of float32's: this much more than 2^-24 holds them.
U = 2.0**-24 * (1 + 2.0**-20)
DIVISION = 4
LEAST = 2.0**-126


class Bounded(NamedTuple):
    value: np.ndarray
    error: np.ndarray

    def map(self, function):
        """What only moves elements or changes their signs."""
        return Bounded(function(self.value), np.abs(function(self.error)))

    @property
    def most(self):
        return np.abs(self.value) + self.error


def gamma(roundings):
    return roundings * U / (1 - roundings * U)


def exact(tensor):
    value = tensor.detach().cpu().double().numpy()
    return Bounded(value, np.zeros_like(value))


def add(a, b):
    value, error = a.value + b.value, a.error + b.error
    return Bounded(value, error + gamma(1) * (np.abs(value) + error))


def multiply(a, b):
    value = a.value * b.value
    error = np.abs(a.value) * b.error + a.error * b.most
    return Bounded(value, error + gamma(1) * (np.abs(value) + error) + LEAST)


def product(a, b):
    """a [..., M, K] times b [..., K, N]."""
    error = np.abs(a.value) @ b.error + a.error @ b.most + gamma(a.value.shape[-1]) * (a.most @ b.most)
    return Bounded(a.value @ b.value, error + LEAST)


def relu_squared(a):
    value, most = np.maximum(a.value, 0) ** 2, (np.maximum(a.value, 0) + a.error) ** 2
    return Bounded(value, most - value + gamma(1) * most + LEAST)


def rms_norm(a, weight, eps):
    columns = a.value.shape[-1]
    square = (a.value**2).mean(-1, keepdims=True) + eps
    moved = (2 * np.abs(a.value) * a.error + a.error**2).mean(-1, keepdims=True)
    moved += gamma(columns + 2 + DIVISION) * (square + moved)
    rstd, most = 1 / np.sqrt(square), 1 / np.sqrt(np.maximum(square - moved, eps / 2))
    most *= 1 + gamma(2 + DIVISION)
    return multiply(weight, multiply(a, Bounded(rstd, np.broadcast_to(most - rstd, rstd.shape))))


def softmax(scores, allowed):
    """Over the last dimension, of scores that are allowed; the others are 0."""
    value = np.where(allowed, scores.value, -np.inf)
    value = np.exp(value - value.max(-1, keepdims=True))
    value /= value.sum(-1, keepdims=True)
    reach = np.where(allowed, scores.most, 0).max(-1, keepdims=True)
    off = np.where(allowed, scores.error, 0).max(-1, keepdims=True) + gamma(2) * 2 * reach  # of the exponent
    relative = np.expm1(2 * off) + np.exp(2 * off) * gamma(value.shape[-1] + 2 * DIVISION + 2)
    return Bounded(value, value * relative + LEAST)


class Ternary(NamedTuple):
    """Weights [K_out, K_in]: codes times one factor, which is off by `relative`. `either`: 1 where the code may be a neighbour."""

    codes: np.ndarray
    factor: float
    relative: float
    either: np.ndarray


def quantised_product(y, codes, weight, integers):
    """The 8-bit activations of y [..., K] times the weights, by the codes that were taken. Each must be one that a value within y's
    error rounds to, half to even: AssertionError.

    Codes once taken are exact. What is left of y's error is that of its row's scale, the error of the element that may be the
    largest; it is common to the row, and so the product is off by as much relatively, whatever cancels in it. `integers`: codes are
    summed, exactly; else each operand rounds, and each addition."""
    magnitude = np.abs(y.value)
    absmax = magnitude.max(-1, keepdims=True)
    largest = (magnitude - y.error).max(-1, keepdims=True)
    off = np.where(magnitude + y.error >= largest, y.error, 0).max(-1, keepdims=True)
    assert np.all(absmax - off > 1e-5), "a row at the floor of absmax"
    step, relative = absmax / 127, off / (absmax - off)
    t = y.value / step
    t_error = (1 + relative) * y.error / step + np.abs(t) * relative
    t_error += gamma(DIVISION + 2) * (np.abs(t) + t_error)
    fits = (np.rint(t - t_error) <= codes) & (codes <= np.rint(t + t_error))
    assert np.all(fits), f"{np.count_nonzero(~fits)} codes of {fits.size} that no admissible value rounds to"
    scale = step * weight.factor
    value = scale * (codes @ weight.codes.T)
    relative = (1 + relative) * (1 + weight.relative) * (1 + gamma(2 * DIVISION + 4)) - 1
    terms = np.abs(codes) @ weight.either.T
    if not integers:
        terms = terms + gamma(y.value.shape[-1] + 2 * DIVISION + 2) * (np.abs(codes) @ (np.abs(weight.codes) + weight.either).T)
    return Bounded(value, np.abs(value) * relative + (1 + relative) * scale * terms + LEAST)
