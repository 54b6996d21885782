"""A BitNet model of transformers with replaced layers: its logits lie within the bound that its own float64 evaluation gives."""

import numpy as np
import pytest
import torch
from running_error import (DIVISION, Bounded, Ternary, add, exact, gamma, multiply, product, quantised_product, relu_squared,
                           rms_norm, softmax)

import normquant

KINDS = ("packed", "online")


def model_of(kind):
    """BitNetForCausalLM, 2 layers, hidden 64, with transformers' BitNet layers; normquant's in their place."""
    transformers = pytest.importorskip("transformers")
    bitnet = pytest.importorskip("transformers.integrations.bitnet")
    config = transformers.BitNetConfig(vocab_size=128, hidden_size=64, intermediate_size=160, num_hidden_layers=2,
                                       num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                                       attn_implementation="eager")
    model = transformers.BitNetForCausalLM(config).float().eval()
    for name, old in list(model.named_modules()):
        if not isinstance(old, torch.nn.Linear) or name == "lm_head":
            continue
        if kind == "packed":
            new = bitnet.BitLinear(old.in_features, old.out_features, False, dtype=torch.float32)
            scale = 1 / old.weight.detach().abs().mean()
            new.weight = bitnet.pack_weights((old.weight.detach() * scale).round().clamp(-1, 1))
            new.weight_scale = scale.reshape(1)
            new.ternary = (old.weight.detach() * scale).round().clamp(-1, 1)
            new.scale = scale
        else:
            new = bitnet.AutoBitLinear(old.in_features, old.out_features, False, online_quant=True)
            new.weight = old.weight
        model.set_submodule(name, new)
    for module in model.modules():
        if type(module).__name__ == "BitNetRMSNorm":
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    weights = {name: weight_of(module) for name, module in model.named_modules() if "BitLinear" in type(module).__name__}
    assert len(normquant.replace(model, report=None)) == len(weights) == 14
    return model, weights


def weight_of(layer):
    """Its ternary weights. Online: what rounds within the error of the mean may be either code."""
    if hasattr(layer, "ternary"):
        codes = layer.ternary.double().numpy()
        return Ternary(codes, 1 / float(layer.scale), gamma(DIVISION), np.zeros_like(codes))
    w = layer.weight.detach().double().numpy()
    factor = np.abs(w).mean()
    relative = gamma(176 + 2 * DIVISION + 2)  # 176: the most additions of a term (docs/numerics.md)
    t = w / factor
    low, high = (np.rint(t + sign * np.abs(t) * relative).clip(-1, 1) for sign in (-1, 1))
    return Ternary(np.rint(t).clip(-1, 1), factor, relative, np.abs(high - low))


def taken(layer, x):
    """The codes that a layer takes of its input x: the product with the identity shows them."""
    with torch.no_grad():
        if isinstance(layer, normquant.PackedBitLinear):
            seen = normquant.PackedBitLinear.from_weight(torch.eye(x.shape[-1]), torch.ones(1))(x)
        else:
            seen = normquant.activation_quant(x)  # the operand of QuantLinear's product
    step = x.double().abs().amax(-1, keepdim=True) / 127
    codes = (seen.double() / step).numpy()
    assert np.all(np.abs(codes - np.rint(codes)) < 1e-3)
    return np.rint(codes)


def logits_and_inputs(model, tokens):
    """The model's logits, and every replaced layer's input on the way."""
    inputs, hooks = {}, []
    for name, module in model.named_modules():
        if type(module).__module__.startswith("normquant"):
            hooks.append(module.register_forward_pre_hook(lambda _m, given, name=name: inputs.update({name: given[0]})))
    with torch.no_grad():
        logits = model(tokens).logits
    for hook in hooks:
        hook.remove()
    return logits.double().numpy(), inputs


def in_float64(model, weights, tokens, inputs):
    """The logits in float64, and a bound on those of an honest float32 evaluation that takes the same codes.

    Every operation carries a bound of its operands' errors and of its own roundings (running_error.py). A code is not continuous in
    what it rounds: next to a tie the two sides differ by a whole step, and no useful bound would hold for both. So at each quantiser
    the float64 evaluation demands that the code that the model took is admissible, that is, that some value within the bound so
    far rounds to it, and goes on with that code. What remains are roundings, and the bound is narrow. The table of rotations
    (cos, sin) is an input, as the model computed it."""
    config, core = model.config, model.model
    heads, groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    batch, length = tokens.shape
    cos, sin = core.rotary_emb(torch.zeros(1), torch.arange(length)[None])
    cos, sin = exact(cos[:, None]), exact(sin[:, None])

    def linear(name, y):
        layer = model.get_submodule(name)
        integers = isinstance(layer, normquant.PackedBitLinear)
        return quantised_product(y, taken(layer, inputs[name]), weights[name], integers)

    def norm(module, y):
        return rms_norm(y, exact(module.weight), module.variance_epsilon)

    def by_head(y):
        return y.map(lambda a: a.reshape(batch, length, -1, config.hidden_size // heads).swapaxes(1, 2))

    def rotated(y):
        half = y.value.shape[-1] // 2
        turned = y.map(lambda a: np.concatenate((-a[..., half:], a[..., :half]), -1))
        return add(multiply(y, cos), multiply(turned, sin))

    def repeated(y):
        return y.map(lambda a: np.repeat(a, groups, 1))

    h = exact(core.embed_tokens(tokens))
    for number, layer in enumerate(core.layers):
        at = f"model.layers.{number}."
        y = norm(layer.input_layernorm, h)
        q, k, v = (by_head(linear(f"{at}self_attn.{name}_proj", y)) for name in "qkv")
        scores = product(rotated(q), repeated(rotated(k)).map(lambda a: a.swapaxes(-1, -2)))
        scaling = np.float64(layer.self_attn.scaling)
        scores = multiply(scores, Bounded(scaling, gamma(1) * scaling))
        mixed = product(softmax(scores, np.tril(np.ones((length, length), bool))), repeated(v))
        mixed = mixed.map(lambda a: a.swapaxes(1, 2).reshape(batch, length, -1))
        h = add(h, linear(f"{at}self_attn.o_proj", norm(layer.self_attn.attn_sub_norm, mixed)))
        y = norm(layer.post_attention_layernorm, h)
        inner = multiply(relu_squared(linear(f"{at}mlp.gate_proj", y)), linear(f"{at}mlp.up_proj", y))
        h = add(h, linear(f"{at}mlp.down_proj", norm(layer.mlp.ffn_sub_norm, inner)))
    return product(norm(core.norm, h), exact(model.lm_head.weight).map(np.transpose))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_lie_within_the_bound_of_float64(kind):
    model, weights = model_of(kind)
    tokens = torch.randint(0, 128, (2, 12))
    logits, inputs = logits_and_inputs(model, tokens)
    true = in_float64(model, weights, tokens, inputs)
    assert logits.shape == (2, 12, 128)
    assert np.all(np.abs(logits - true.value) <= true.error)
    assert np.median(true.error) < 0.05 * np.abs(true.value).max()  # the bound says something


MISTAKES = {
    "another scale": lambda _layer, _inputs, out: out * 1.1,
    "rows in another order": lambda _layer, _inputs, out: out.roll(1, -1),
    "a column forgotten": lambda _layer, _inputs, out: torch.cat((out[..., :-1], 0 * out[..., -1:]), -1),
    "a token's output for another": lambda _layer, _inputs, out: out.roll(1, 1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("where", ["model.layers.0.self_attn.o_proj", "model.layers.1.mlp.down_proj"])
def test_a_mistake_in_one_layer_leaves_the_bound(kind, mistake, where):
    model, weights = model_of(kind)
    tokens = torch.randint(0, 128, (2, 12))
    hook = model.get_submodule(where).register_forward_hook(MISTAKES[mistake])
    logits, inputs = logits_and_inputs(model, tokens)
    hook.remove()
    try:
        true = in_float64(model, weights, tokens, inputs)
    except AssertionError as error:
        assert "codes of" in str(error)  # that no admissible value rounds to
        return
    assert not np.all(np.abs(logits - true.value) <= true.error)
