"""The oracle where the tests are: judges anybody's tensors as `normquant check` does, in process (docs/python.md).

    from normquant.testing import assert_norm_quant_forward
    assert_norm_quant_forward(x, codes=codes, dequant_scale=scale, weight=w, norm="rms", eps=1e-6)

Tensors are those of PyTorch (any device), of NumPy, or anything with __dlpack__, in the types that the kernel itself read and
wrote. Nothing is tolerated that the derived bounds of docs/numerics.md do not allow, and nothing that they allow is refused.

Every function returns a Judgement when all given outputs are right, and raises:
  WrongResult (an AssertionError)  an output is wrong
  CannotTell                       nothing is wrong, but the bounds decide too little: no pass
  TypeError                        no tensor, or elements of another type than the role's
  ValueError                       shapes that do not fit, words that have no meaning here, nothing to check
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from normquant import _oracle

__all__ = [
    "OUTPUTS",
    "CannotTell",
    "Judgement",
    "WrongResult",
    "assert_activation_quant",
    "assert_bit_linear_backward",
    "assert_bit_linear_forward",
    "assert_norm",
    "assert_norm_quant_backward",
    "assert_norm_quant_forward",
    "assert_weight_quant",
    "judge",
]

_WORDS = {
    "norm": ("rms", "layer"),
    "rounding": ("half_away", "half_even"),
    "h_source": ("unrounded", "stored"),
    "algorithm": ("two_pass", "welford", "any"),
    "y_type": ("float32", "bfloat16", "float16"),
    "arithmetic": ("float32", "bfloat16", "float16"),
    "packing": ("normquant", "transformers", "tq2_0"),
    "format": ("int8", "fp8_e4m3"),
    "product": ("any", "codes", "float32", "bfloat16", "float16"),
}
# word -> what it must be
_NUMBERS = {
    "eps": "positive and finite as a float32",
    "static_scale": "a finite number, from 1e-12 to 1e12",
    "floor": "a finite number, from 1e-12 to 1e30",
}
_INPUTS = {
    "forward": ("x", "residual", "weight", "bias"),
    "norm": ("x", "residual", "weight", "bias"),
    "backward": ("h", "dy", "rstd", "mean", "quant_scale", "weight", "bias", "dresidual"),
    "activation_quant": ("x",),
    "weight_quant": ("w",),
    "bit_linear_forward": ("x", "linear_weight", "residual", "norm_weight", "norm_bias", "linear_bias"),
    "bit_linear_backward": ("h", "w_q", "dout", "norm_weight", "norm_bias", "mean", "rstd", "quant_scale", "dresidual"),
}
#: The outputs of each operation, by role.
OUTPUTS = {
    "forward": ("out", "codes", "dequant_scale", "mean", "rstd", "quant_scale", "residual_out"),
    "norm": ("y", "mean", "rstd", "residual_out"),
    "backward": ("dx", "dx_residual", "dweight", "dbias", "out", "codes", "dequant_scale"),
    "activation_quant": ("out", "codes", "dequant_scale", "quant_scale"),
    "weight_quant": ("out", "codes", "packed", "dequant_factor"),
    "bit_linear_forward": ("out", "w_q", "mean", "rstd", "residual_out"),
    "bit_linear_backward": ("dx", "dx_residual", "dnorm_weight", "dnorm_bias", "dlinear_weight", "dlinear_bias"),
}


@dataclass(frozen=True)
class Judgement:
    """What was found."""

    outcome: str  #: "right", "wrong" or "cannot tell"
    reason: str  #: the first wrong element, or why nothing can be told; empty when right
    text: str  #: all of it, as `normquant check` prints it
    title: str
    elements_checked: int
    elements_wrong: int
    tensors: list = field(default_factory=list)  #: {"tensor", "elements", "wrong", "worst_over_bound"} each
    mismatches: list = field(default_factory=list)  #: the first {"tensor", "row", "column", "expected", "actual"}
    #: with what all would be right: arguments, 'eps=1e-06', or a mistake in words, 'ties away from zero'
    readings: list = field(default_factory=list)
    command: str = ""  #: judges the tensors again, where they were saved

    @property
    def right(self) -> bool:
        return self.outcome == "right"


class WrongResult(AssertionError):
    """An output is wrong. `judgement` says what, the text too."""

    def __init__(self, judgement: Judgement):
        super().__init__(_message(judgement))
        self.judgement = judgement


class CannotTell(Exception):
    """Nothing is wrong, but the bounds decide too little to call it right."""

    def __init__(self, judgement: Judgement):
        super().__init__(_message(judgement))
        self.judgement = judgement


def _message(judgement: Judgement) -> str:
    again = f"\njudged again by: {judgement.command}" if judgement.command else ""
    return judgement.text.rstrip("\n") + again


def _in_python(text: str) -> str:
    """`--eps 1e-06` of the command line as the argument eps=1e-06."""

    def argument(found: re.Match) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        if name == "as":
            return found[0]
        quoted = value if re.fullmatch(r"[-+.0-9e]+", value) else f'"{value}"'
        return f"{name}={quoted}"

    text = re.sub(r"--([a-z][a-z-]*) (?!(?:has|is|needs)\b)([\w.+-]*\w)", argument, text)
    return re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), text)


# Set by the pytest plugin: called with every judgement; where tensors that were not right are saved, or None.
_observers: list = []
_save_path = None


def _words(op: str, words: dict) -> dict:
    request = {"op": op}
    for name, value in words.items():
        if value is None:
            continue
        if name in _NUMBERS:
            request[name] = _number(name, value)
        elif not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}; it must be one of the words {', '.join(_WORDS[name])}")
        elif value not in _WORDS[name]:
            raise ValueError(f"{name}={value!r}; there are {', '.join(_WORDS[name])}")
        else:
            request[name] = value
    return request


def _number(name: str, value) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    try:
        number = float(value.detach() if hasattr(value, "detach") else value)
    except OverflowError:
        number = math.inf
    except Exception:  # whatever a stranger's __float__ raises
        raise TypeError(f"{name} is {value!r}; it must be a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}={number}: it must be {_NUMBERS[name]}")
    return number


def _host_tensors(op: str, tensors: dict, as_type: dict | None, format: str | None = None) -> dict:
    for name, by_role in (("tensors", tensors), ("as_type", as_type or {})):
        if not isinstance(by_role, dict):
            raise TypeError(f"{name} is a {type(by_role).__name__}; it must be a dict by role, such as {{'x': ...}}")
    as_type = as_type or {}
    roles = _INPUTS[op] + OUTPUTS[op]
    unknown = [name for name in [*tensors, *as_type] if name not in roles]
    if unknown:
        role = unknown[0] if isinstance(unknown[0], str) else f"of a key that is a {type(unknown[0]).__name__}"
        raise TypeError(f"{op} has no tensor {role}; there are {', '.join(roles)}")
    given = {role: value for role, value in tensors.items() if value is not None}
    fp8 = format == "fp8_e4m3"
    return {role: _oracle.host_tensor(role, value, as_type.get(role), fp8) for role, value in given.items()}


def judge(op: str, tensors: dict, *, as_type: dict | None = None, **words) -> Judgement:
    """The verdict without an exception for wrong outputs. `op`: "forward", "norm", "backward", "activation_quant",
    "weight_quant", "bit_linear_forward" or "bit_linear_backward". `tensors`: role -> tensor; None is not given. `words`:
    norm, eps, rounding, ... as in the functions below. `as_type`: role -> what its 16-bit integers stand for ("bfloat16")."""
    if not isinstance(op, str) or op not in _INPUTS:
        raise ValueError(f"op={op!r}; there are {', '.join(_INPUTS)}")
    unknown = [name for name in words if name not in _NUMBERS and name not in _WORDS]
    if unknown:
        raise TypeError(f"{unknown[0]} is no argument; there are {', '.join([*_NUMBERS, *_WORDS])}")
    request = _words(op, words)
    hosts = _host_tensors(op, tensors, as_type, words.get("format"))
    answer = _oracle.call("judge", request, hosts)
    if answer["outcome"] == "refused":
        raise ValueError(_in_python(answer["reason"]))
    if answer["outcome"] == "error":
        raise RuntimeError(answer["reason"])
    answer["text"] = _in_python(answer["text"])
    answer["readings"] = [_in_python(reading) for reading in answer["readings"]]
    if answer["outcome"] != "right" and _save_path is not None:
        answer["command"] = _save(request, hosts)
    judgement = Judgement(**answer)
    for observer in _observers:
        observer(judgement)
    return judgement


def _save(request: dict, hosts: dict) -> str:
    path = Path(_save_path())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"(not saved: {error})"
    answer = _oracle.call("save", {**request, "file": str(path)}, hosts)
    return answer.get("command") or f"(not saved: {answer['reason']})"


def _demand(op: str, tensors: dict, as_type, words: dict) -> Judgement:
    __tracebackhide__ = True
    judgement = judge(op, tensors, as_type=as_type, **words)
    if judgement.outcome == "wrong":
        raise WrongResult(judgement)
    if judgement.outcome != "right":
        raise CannotTell(judgement)
    return judgement


def assert_norm_quant_forward(
    x, out=None, *, codes=None, dequant_scale=None, mean=None, rstd=None, quant_scale=None, residual_out=None,
    residual=None, weight=None, bias=None, norm, eps, rounding="half_away", h_source="unrounded", algorithm="any",
    y_type=None, format="int8", static_scale=None, floor=None, as_type=None,
) -> Judgement:
    """Judges a fused norm and quantisation to int8 or fp8, whichever outputs are given.

    x, residual, out, codes, residual_out: [..., N]; weight, bias: [N]; dequant_scale, mean, rstd, quant_scale: one a row.
    norm: "rms" or "layer". eps: what was added to the variance. rounding of ties: "half_away" or "half_even". h_source: whether
    the statistics come from x + residual "unrounded", or as residual_out has it "stored". algorithm: whose bounds hold,
    "two_pass", "welford" or "any". y_type: type to which y is rounded before it is quantised. format: "int8", or "fp8_e4m3", whose
    codes are float8_e4m3fn or bytes. static_scale: one quant_scale for the tensor, by which y is multiplied; there is no
    dequant_scale then. floor: of absmax, 1e-5 unless it is given."""
    __tracebackhide__ = True
    tensors = {"x": x, "residual": residual, "weight": weight, "bias": bias, "out": out, "codes": codes,
               "dequant_scale": dequant_scale, "mean": mean, "rstd": rstd, "quant_scale": quant_scale,
               "residual_out": residual_out}
    words = {"norm": norm, "eps": eps, "rounding": rounding, "h_source": h_source, "algorithm": algorithm,
             "y_type": y_type, "format": format, "static_scale": static_scale, "floor": floor}
    return _demand("forward", tensors, as_type, words)


def assert_norm(
    x, y=None, *, mean=None, rstd=None, residual_out=None, residual=None, weight=None, bias=None, norm, eps,
    h_source="unrounded", algorithm="any", arithmetic=None, as_type=None,
) -> Judgement:
    """Judges a norm alone: y, [..., N], before any quantisation. arithmetic: "bfloat16" or "float16" when each step is rounded
    to that type. The rest as assert_norm_quant_forward."""
    __tracebackhide__ = True
    tensors = {"x": x, "residual": residual, "weight": weight, "bias": bias, "y": y, "mean": mean, "rstd": rstd,
               "residual_out": residual_out}
    words = {"norm": norm, "eps": eps, "h_source": h_source, "algorithm": algorithm, "arithmetic": arithmetic}
    return _demand("norm", tensors, as_type, words)


def assert_norm_quant_backward(
    h, dy, dx=None, *, rstd, mean=None, dx_residual=None, dweight=None, dbias=None, out=None, codes=None,
    dequant_scale=None, quant_scale=None, weight=None, bias=None, dresidual=None, norm, rounding="half_away",
    algorithm="any", as_type=None,
) -> Judgement:
    """Judges the gradients of assert_norm_quant_forward's operation.

    h: what was normalised, dy: the gradient of the output, dresidual: that of residual_out, [..., N]; rstd, mean (layer norm:
    needed), quant_scale: as the forward left them, one a row; weight, bias: [N]. Outputs: dx, dx_residual: [..., N]; dweight, dbias: [N]; out, codes,
    dequant_scale: the forward's, computed again."""
    __tracebackhide__ = True
    tensors = {"h": h, "dy": dy, "rstd": rstd, "mean": mean, "quant_scale": quant_scale, "weight": weight,
               "bias": bias, "dresidual": dresidual, "dx": dx, "dx_residual": dx_residual, "dweight": dweight,
               "dbias": dbias, "out": out, "codes": codes, "dequant_scale": dequant_scale}
    words = {"norm": norm, "rounding": rounding, "algorithm": algorithm}
    return _demand("backward", tensors, as_type, words)


def assert_activation_quant(
    x, out=None, *, codes=None, dequant_scale=None, quant_scale=None, rounding="half_even", format="int8", static_scale=None,
    floor=None, as_type=None,
) -> Judgement:
    """Judges the quantisation of each row to int8 or fp8. x, out, codes: [..., N]; the scales: one a row. format, static_scale and
    floor as in assert_norm_quant_forward."""
    __tracebackhide__ = True
    tensors = {"x": x, "out": out, "codes": codes, "dequant_scale": dequant_scale, "quant_scale": quant_scale}
    words = {"rounding": rounding, "format": format, "static_scale": static_scale, "floor": floor}
    return _demand("activation_quant", tensors, as_type, words)


def assert_weight_quant(
    w, out=None, *, codes=None, packed=None, dequant_factor=None, packing="normquant", as_type=None
) -> Judgement:
    """Judges the quantisation of a weight matrix to {-1, 0, 1}. w, out, codes: [K_out, K_in]; packed: bytes in the order of
    packing, "normquant", "transformers" or "tq2_0"; dequant_factor: one element."""
    __tracebackhide__ = True
    tensors = {"w": w, "out": out, "codes": codes, "packed": packed, "dequant_factor": dequant_factor}
    return _demand("weight_quant", tensors, as_type, {"packing": packing})


def assert_bit_linear_forward(
    x, out=None, *, linear_weight, linear_bias=None, norm_weight=None, norm_bias=None, residual=None, w_q=None, mean=None,
    rstd=None, residual_out=None, norm, eps, rounding="half_away", h_source="unrounded", algorithm="any", product="any",
    as_type=None,
) -> Judgement:
    """Judges the layer: residual add, norm, 8-bit activations, ternary weights, product, bias.

    x, residual, residual_out: [..., K_in]; linear_weight, w_q (the fake-quantised weights): [K_out, K_in]; norm_weight, norm_bias:
    [K_in]; linear_bias: [K_out], as the product read it; out: [..., K_out]; mean, rstd: one a row. product: what is multiplied,
    "codes", summed as integers and scaled afterwards, or operands that were fake-quantised in "float32", "bfloat16" or "float16".
    "any" admits codes, and operands of out's type or of x's. The rest as assert_norm_quant_forward; BitLinear rounds "half_even",
    FusedBitLinear "half_away"."""
    __tracebackhide__ = True
    tensors = {"x": x, "linear_weight": linear_weight, "linear_bias": linear_bias, "norm_weight": norm_weight,
               "norm_bias": norm_bias, "residual": residual, "out": out, "w_q": w_q, "mean": mean, "rstd": rstd,
               "residual_out": residual_out}
    words = {"norm": norm, "eps": eps, "rounding": rounding, "h_source": h_source, "algorithm": algorithm,
             "product": product}
    return _demand("bit_linear_forward", tensors, as_type, words)


def assert_bit_linear_backward(
    h, dout, dx=None, *, w_q, rstd, mean=None, dx_residual=None, dnorm_weight=None, dnorm_bias=None, dlinear_weight=None,
    dlinear_bias=None, quant_scale=None, norm_weight=None, norm_bias=None, dresidual=None, norm, rounding="half_away",
    algorithm="any", as_type=None,
) -> Judgement:
    """Judges the gradients of assert_bit_linear_forward's operation, straight-through.

    h: what was normalised, dresidual: the gradient of residual_out, [..., K_in]; dout: the gradient of out, [..., K_out]; w_q: the
    weights as the product read them, [K_out, K_in], whose type is that of the operands; rstd, mean (layer norm: needed),
    quant_scale: as the forward left them, one a row. Outputs: dx, dx_residual: [..., K_in]; dnorm_weight, dnorm_bias: [K_in];
    dlinear_weight: [K_out, K_in], from the activations that are quantised again; dlinear_bias: [K_out]."""
    __tracebackhide__ = True
    tensors = {"h": h, "dout": dout, "w_q": w_q, "rstd": rstd, "mean": mean, "quant_scale": quant_scale,
               "norm_weight": norm_weight, "norm_bias": norm_bias, "dresidual": dresidual, "dx": dx,
               "dx_residual": dx_residual, "dnorm_weight": dnorm_weight, "dnorm_bias": dnorm_bias,
               "dlinear_weight": dlinear_weight, "dlinear_bias": dlinear_bias}
    words = {"norm": norm, "rounding": rounding, "algorithm": algorithm}
    return _demand("bit_linear_backward", tensors, as_type, words)
