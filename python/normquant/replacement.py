"""replace(model): the layers of other libraries become ours, in place, their parameters kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from normquant import ops
from normquant.functional import activation_quant, weight_quant
from normquant.modules import BitLinear, FusedBitLinear, PacksItsWeight, _out_dtype
from normquant.packed import PackedBitLinear


class QuantLinear(PacksItsWeight, nn.Linear):
    """8-bit activations rounded half to even, ternary weights, product, bias; no norm. The quantisers are ours and straight-
    through, the product is torch's; after pack(), few rows without a gradient take the packed product."""

    def forward(self, x: Tensor) -> Tensor:
        packed = self.packed_for(x)
        if packed is not None:
            return ops.call(ops.packed_linear, False, x, *packed, self.bias, True, _out_dtype(x))
        return functional.linear(activation_quant(x), weight_quant(self.weight), self.bias)


def _with_parameters(module: nn.Module, kind, old: nn.Module, norm_weight=None, eps=None) -> nn.Module:
    """`kind` with the very parameters of the old layer."""
    new = kind(old.in_features, old.out_features, bias=old.bias is not None, device="meta")
    new.weight, new.bias = old.weight, old.bias
    if norm_weight is not None:
        new.norm.weight = norm_weight
    if eps is not None:
        new.eps = new.norm.eps = eps
    return new.train(module.training)


def _of_fla(kind):
    def convert(old: nn.Module) -> nn.Module:
        new = _with_parameters(old, kind, old, old.norm.weight)
        bias = getattr(old.norm, "bias", None)
        if bias is not None:
            new.norm.bias = bias
        return new

    return convert


def _of_onebitllms(old: nn.Module) -> nn.Module:
    return _with_parameters(old, QuantLinear, old)


def _norm_of(old: nn.Module) -> dict:
    norm = getattr(old, "rms_norm", None)
    return {} if norm is None else {"norm_weight": norm.weight.detach(), "eps": float(norm.variance_epsilon)}


def _unpacked(rows: Tensor, out_features: int) -> Tensor:
    """transformers' layout: row r of byte plane i is row i * K_out / 4 + r of the matrix."""
    planes = [((rows >> (2 * i)) & 3).to(torch.float32) - 1 for i in range(4)]
    return torch.cat(planes)[:out_features]


def _of_transformers_packed(old: nn.Module) -> nn.Module:
    weight = _unpacked(old.weight, old.out_features)
    return PackedBitLinear.from_weight(weight, 1 / old.weight_scale.float(), bias=old.bias, **_norm_of(old)).train(old.training)


def _of_transformers_auto(old: nn.Module) -> nn.Module:
    if old.online_quant:
        if old.rms_norm is None:
            return _with_parameters(old, QuantLinear, old)
        return _with_parameters(old, BitLinear, old, old.rms_norm.weight, float(old.rms_norm.variance_epsilon))
    if not bool(((old.weight == 0) | (old.weight.abs() == 1)).all()):
        raise ValueError("its weights are not ternary: they are not yet loaded, or not of an offline-quantised checkpoint")
    bias = None if old.bias is None else old.bias.detach() * old.weight_scale  # it scales after it has added the bias
    return PackedBitLinear.from_weight(old.weight, old.weight_scale, bias=bias, **_norm_of(old)).train(old.training)


# (start of the module that defines the class, its name) -> what makes ours of it
_KNOWN: list[tuple[str, str, Callable[[nn.Module], nn.Module]]] = [
    ("fla.", "FusedBitLinear", _of_fla(FusedBitLinear)),
    ("fla.", "BitLinear", _of_fla(BitLinear)),
    ("onebitllms.", "BitNetLinear", _of_onebitllms),
    ("transformers.integrations.bitnet", "BitLinear", _of_transformers_packed),
    ("transformers.integrations.bitnet", "AutoBitLinear", _of_transformers_auto),
]


def _conversion_of(module: nn.Module):
    for where, name, convert in _KNOWN:
        if type(module).__name__ == name and type(module).__module__.startswith(where):
            return convert
    return None


def replace(model: nn.Module, report: Callable[[str], None] | None = print) -> list[str]:
    """Replaces, in place, the BitLinear and FusedBitLinear of fla, the BitNetLinear of onebitllms, and the BitNet layers of
    transformers, packed and online-quantised. Trainable layers keep their very parameters.

    Every layer met is reported in a line, also one that could not be replaced; returns the lines. The model itself must not be
    such a layer.
    """
    lines = []
    if _conversion_of(model) is not None:
        raise ValueError("replace: the model itself is such a layer; there is nothing to put another into")
    for name, module in list(model.named_modules()):
        convert = _conversion_of(module)
        if convert is None:
            continue
        kind = f"{type(module).__module__}.{type(module).__name__}"
        try:
            new = convert(module)
        except (ValueError, RuntimeError, AttributeError) as error:
            lines.append(f"{name}: {kind} is kept: {error}")
        else:
            model.set_submodule(name, new)
            lines.append(f"{name}: {kind} -> normquant.{type(new).__name__}, {new.in_features} to {new.out_features}")
        if report is not None:
            report(lines[-1])
    if not lines and report is not None:
        report("replace: the model has no layer of fla, onebitllms or transformers' BitNet")
    return lines
