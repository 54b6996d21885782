"""The operators torch.ops.normquant.*: loaded, with what they return without data (fake kernels) and their gradients.

`functional` holds what users call. Quantisation is straight-through: its gradient is the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normquant import _library

_library.load()
_ops = torch.ops.normquant

norm_quant = _ops.norm_quant.default
bit_linear = _ops.bit_linear.default
norm_quant_forward = _ops.norm_quant_forward.default
norm_quant_codes = _ops.norm_quant_codes.default
norm_quantise = _ops.norm_quantise.default
quantise = _ops.quantise.default
norm_quant_backward = _ops.norm_quant_backward.default
activation_quant = _ops.activation_quant.default
weight_quant = _ops.weight_quant.default
bit_linear_forward = _ops.bit_linear_forward.default
bit_linear_backward = _ops.bit_linear_backward.default
pack_weight = _ops.pack_weight.default
packed_bit_linear = _ops.packed_bit_linear.default
packed_linear = _ops.packed_linear.default


# ---- what each returns without data


def _rows(x: Tensor):
    rows = 1
    for size in x.shape[:-1]:
        rows = rows * size
    return rows


def _nothing(x: Tensor) -> Tensor:
    return x.new_empty((0,), dtype=torch.float32)


def _like(x: Tensor, dtype) -> Tensor:
    """[..., N] as x, contiguous; nothing without a dtype."""
    return _nothing(x) if dtype is None else x.new_empty(x.shape, dtype=dtype)


def _floats(x: Tensor, wanted: bool = True) -> Tensor:
    return x.new_empty((_rows(x),), dtype=torch.float32) if wanted else _nothing(x)


def _of_vector(vector, x: Tensor) -> Tensor:
    return _nothing(x) if vector is None else x.new_empty(vector.shape, dtype=vector.dtype)


@torch.library.register_fake("normquant::norm_quant")
def _(x, residual, weight, bias, eps, rms, half_even, out_dtype):
    return _like(x, out_dtype or x.dtype)


@torch.library.register_fake("normquant::bit_linear")
def _(x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps, rms, half_even, exact, operand):
    return x.new_empty((*x.shape[:-1], linear_weight.shape[0]), dtype=operand)


@torch.library.register_fake("normquant::norm_quant_forward")
def _(x, residual, weight, bias, eps, rms, half_even, stored, out_dtype, residual_dtype, row_invariant=False):
    return _like(x, out_dtype or x.dtype), _floats(x, not rms), _floats(x), _like(x, residual_dtype)


@torch.library.register_fake("normquant::norm_quant_codes")
def _(x, residual, weight, bias, eps, rms, half_even, row_invariant=False):
    return _like(x, torch.int8), _floats(x)


@torch.library.register_fake("normquant::norm_quantise")
def _(x, residual, weight, bias, eps, rms, half_even, codes_dtype, static_scale, floor, residual_dtype):
    return _like(x, codes_dtype), _floats(x, static_scale == 0), _like(x, residual_dtype)


@torch.library.register_fake("normquant::quantise")
def _(x, half_even, codes_dtype, static_scale, floor):
    return _like(x, codes_dtype), _floats(x, static_scale == 0)


@torch.library.register_fake("normquant::norm_quant_backward")
def _(dy, h, weight, bias, mean, rstd, dresidual, dx_dtype, residual_dtype, half_even, recompute_dtype,
      row_invariant=False):
    return (_like(h, dx_dtype), _of_vector(weight, h), _of_vector(bias, h), _like(h, residual_dtype),
            _like(h, recompute_dtype))


@torch.library.register_fake("normquant::activation_quant")
def _(x, half_even):
    return _like(x, x.dtype)


@torch.library.register_fake("normquant::weight_quant")
def _(w, out_dtype):
    return _like(w, out_dtype or w.dtype)


@torch.library.register_fake("normquant::bit_linear_forward")
def _(x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps, rms, half_even, exact, keep, operand,
      residual_dtype, row_invariant=False):
    return (x.new_empty((*x.shape[:-1], linear_weight.shape[0]), dtype=operand),
            x.new_empty(linear_weight.shape, dtype=operand) if keep else _nothing(x), _floats(x, not rms), _floats(x),
            _like(x, residual_dtype))


@torch.library.register_fake("normquant::bit_linear_backward")
def _(dout, h, norm_weight, norm_bias, w_q, mean, rstd, dresidual, half_even, dx_dtype, residual_dtype, weight_dtype,
      bias_dtype):
    dlinear_bias = _nothing(h) if bias_dtype is None else h.new_empty((w_q.shape[0],), dtype=bias_dtype)
    return (_like(h, dx_dtype), _of_vector(norm_weight, h), _of_vector(norm_bias, h),
            _nothing(h) if weight_dtype is None else h.new_empty(w_q.shape, dtype=weight_dtype), dlinear_bias,
            _like(h, residual_dtype))


@torch.library.register_fake("normquant::pack_weight")
def _(w):
    return w.new_empty((w.shape[0], (w.shape[1] + 3) // 4), dtype=torch.uint8), w.new_empty((1,), dtype=torch.float32)


@torch.library.register_fake("normquant::packed_bit_linear")
def _(x, norm_weight, norm_bias, packed, dequant_factor, linear_bias, eps, rms, half_even, out_dtype,
      row_invariant=False):
    return x.new_empty((*x.shape[:-1], packed.shape[0]), dtype=out_dtype)


@torch.library.register_fake("normquant::packed_linear")
def _(x, packed, dequant_factor, linear_bias, half_even, out_dtype):
    return x.new_empty((*x.shape[:-1], packed.shape[0]), dtype=out_dtype)


# ---- gradients: each as a pair (what to keep, what to compute), used by torch.library and by the Functions below


def _mark(keep, *places):
    """`keep`, for torch.library, whose outputs at these places are no function of the inputs: only the backward reads them."""

    def setup(ctx, inputs, output):
        ctx.mark_non_differentiable(*(output[place] for place in places))
        keep(ctx, inputs, output)

    return setup


def _gradient(tensor: Tensor, wanted: bool):
    return tensor if wanted else None


def _with_default(inputs, count: int):
    """The inputs with row_invariant, which comes last and may be left out."""
    return inputs if len(inputs) == count else (*inputs, False)


def _norm_keep(ctx, inputs, output):
    x, residual, weight, bias, _eps, _rms, half_even, _stored, _out_dtype, residual_dtype, row_invariant = _with_default(inputs, 11)
    _out, mean, rstd, residual_out = output
    ctx.set_materialize_grads(False)
    if residual is not None and residual_dtype is None:
        raise ValueError("norm_quant_forward: a gradient needs residual_out: give a residual_dtype with a residual")
    ctx.save_for_backward(x if residual_dtype is None else residual_out, weight, bias, mean if mean.numel() else None, rstd)
    ctx.half_even, ctx.x_dtype, ctx.is_rms, ctx.row_invariant = half_even, x.dtype, _rms, row_invariant
    ctx.residual_dtype = None if residual is None else residual.dtype


def _norm_gradients(ctx, needs, dout, _dmean, _drstd, dresidual):
    h, weight, bias, mean, rstd = ctx.saved_tensors
    if dout is None and dresidual is None:
        return (None,) * 11
    if dout is None:
        dout = torch.zeros_like(h, dtype=ctx.x_dtype)
    if dresidual is not None and dresidual.numel() != h.numel():
        dresidual = None
    if not ctx.is_rms and mean is None:  # no rows
        mean = rstd
    second = ctx.residual_dtype if ctx.residual_dtype not in (None, ctx.x_dtype) else None
    dx, dweight, dbias, dresidual_in, _ = call(
        norm_quant_backward, torch.is_grad_enabled(), dout, h, weight, bias, mean, rstd, dresidual, ctx.x_dtype, second,
        ctx.half_even, None, ctx.row_invariant)
    return (_gradient(dx, needs[0]), _gradient(dresidual_in if second else dx, needs[1]), _gradient(dweight, needs[2]),
            _gradient(dbias, needs[3]), *(None,) * 7)


def _identity_setup(ctx, inputs, output):
    ctx.dtype = inputs[0].dtype


def _identity_backward(ctx, gradient):
    return gradient.to(ctx.dtype), None


def _layer_keep(ctx, inputs, output):
    (x, residual, norm_weight, norm_bias, linear_weight, linear_bias, _eps, _rms, half_even, _exact, keep, operand,
     residual_dtype, _row_invariant) = _with_default(inputs, 14)
    _out, w_q, mean, rstd, residual_out = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x if residual_dtype is None else residual_out, norm_weight, norm_bias, w_q,
                          mean if mean.numel() else None, rstd)
    ctx.can = keep and (residual is None or residual_dtype is not None)
    ctx.half_even, ctx.x_dtype, ctx.operand, ctx.is_rms = half_even, x.dtype, operand, _rms
    ctx.residual_dtype = None if residual is None else residual.dtype
    ctx.weight_dtype = linear_weight.dtype
    ctx.bias_dtype = None if linear_bias is None else linear_bias.dtype


def _layer_gradients(ctx, needs, dout, _dw_q, _dmean, _drstd, dresidual):
    if dout is None and dresidual is None:
        return (None,) * 14
    if not ctx.can:
        raise ValueError("bit_linear_forward: a gradient needs keep=True, and a residual_dtype with a residual")
    h, norm_weight, norm_bias, w_q, mean, rstd = ctx.saved_tensors
    if dout is None:
        dout = h.new_zeros((*h.shape[:-1], w_q.shape[0]), dtype=ctx.operand)
    if dresidual is not None and dresidual.numel() != h.numel():
        dresidual = None
    if not ctx.is_rms and mean is None:  # no rows
        mean = rstd
    second = ctx.residual_dtype if ctx.residual_dtype not in (None, ctx.x_dtype) else None
    # The product writes its operands' type or float32; torch casts what the parameter has besides.
    weight_dtype = None
    if needs[4]:
        weight_dtype = ctx.operand if ctx.weight_dtype == ctx.operand else torch.float32
    dx, dnorm_weight, dnorm_bias, dlinear_weight, dlinear_bias, dresidual_in = call(
        bit_linear_backward, torch.is_grad_enabled(), dout, h, norm_weight, norm_bias, w_q, mean, rstd, dresidual,
        ctx.half_even, ctx.x_dtype, second, weight_dtype, ctx.bias_dtype if needs[5] else None)
    if needs[4] and dlinear_weight.dtype != ctx.weight_dtype:
        dlinear_weight = dlinear_weight.to(ctx.weight_dtype)
    return (_gradient(dx, needs[0]), _gradient(dresidual_in if second else dx, needs[1]), _gradient(dnorm_weight, needs[2]),
            _gradient(dnorm_bias, needs[3]), _gradient(dlinear_weight, needs[4]), _gradient(dlinear_bias, needs[5]),
            *(None,) * 8)


def _of_all_inputs(gradients):
    return lambda ctx, *of_outputs: gradients(ctx, ctx.needs_input_grad, *of_outputs)


torch.library.register_autograd("normquant::norm_quant_forward", _of_all_inputs(_norm_gradients),
                                setup_context=_mark(_norm_keep, 1, 2))
torch.library.register_autograd("normquant::activation_quant", _identity_backward, setup_context=_identity_setup)
torch.library.register_autograd("normquant::weight_quant", _identity_backward, setup_context=_identity_setup)
torch.library.register_autograd("normquant::bit_linear_forward", _of_all_inputs(_layer_gradients),
                                setup_context=_mark(_layer_keep, 1, 2, 3))


# ---- calling them: torch.library's gradients cost microseconds a call in Python even where none is wanted, so that eager code
# goes below them, or through a Function of its own. Every input and output of a Function costs microseconds too: it takes what is
# no tensor in one piece, and returns no more than its caller gets.


def _identity_function(operator):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            with torch._C._AutoDispatchBelowAutograd():
                output = operator(*inputs)
            _identity_setup(ctx, inputs, output)
            return output

        backward = staticmethod(_identity_backward)

    Function.__name__ = operator._schema.name.split("::")[1]
    return Function


# Of the operators that have one: how many arguments are tensors, which come first, and the place of residual_dtype.
_TENSORS = {norm_quant_forward: 4, bit_linear_forward: 6}
_RESIDUAL_DTYPE = {norm_quant_forward: 9, bit_linear_forward: 12}


def _forward_function(operator, keep, backward_of, outputs: int):
    """Of an operator whose first and last output are out and residual_out."""
    tensors, residual_dtype = _TENSORS[operator], _RESIDUAL_DTYPE[operator]

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, options, *inputs):
            inputs += options
            with torch._C._AutoDispatchBelowAutograd():
                output = operator(*inputs)
            keep(ctx, inputs, output)
            return output[0] if inputs[residual_dtype] is None else (output[0], output[-1])

        @staticmethod
        def backward(ctx, dout, dresidual=None):
            needs = ctx.needs_input_grad[1:]
            return (None, *backward_of(ctx, needs, dout, *(None,) * (outputs - 2), dresidual)[:tensors])

    Function.__name__ = operator._schema.name.split("::")[1]
    return Function


_FUNCTIONS = {
    activation_quant: _identity_function(activation_quant),
    weight_quant: _identity_function(weight_quant),
}
_FORWARD_FUNCTIONS = {
    norm_quant_forward: _forward_function(norm_quant_forward, _norm_keep, _norm_gradients, 4),
    bit_linear_forward: _forward_function(bit_linear_forward, _layer_keep, _layer_gradients, 5),
}


def needs_gradient(*tensors) -> bool:
    """Whether a gradient is recorded for one of these (None: not given)."""
    if not torch.is_grad_enabled():
        return False
    for tensor in tensors:
        if tensor is not None and tensor.requires_grad:
            return True
    return False


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def call(operator, gradient: bool, *arguments):
    """The operator, by the cheapest way that gives the gradient when one is needed. One without a gradient is left to torch then,
    which says so."""
    if _is_traced():
        return operator(*arguments)
    if gradient:
        function = _FUNCTIONS.get(operator)
        return operator(*arguments) if function is None else function.apply(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)


def forward(operator, gradient: bool, *arguments):
    """out and residual_out of norm_quant_forward or bit_linear_forward; residual_out is None without a residual_dtype."""
    residual_dtype = arguments[_RESIDUAL_DTYPE[operator]]
    if gradient and not _is_traced():
        tensors = _TENSORS[operator]
        outputs = _FORWARD_FUNCTIONS[operator].apply(arguments[tensors:], *arguments[:tensors])
        return (outputs, None) if residual_dtype is None else outputs
    outputs = call(operator, False, *arguments)
    return outputs[0], None if residual_dtype is None else outputs[-1]
