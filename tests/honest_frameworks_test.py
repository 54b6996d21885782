#!/usr/bin/env python3
"""Norms of PyTorch, jax and onnxruntime pass `normquant check`, also in rows far from zero; altered ones do not.

    honest_frameworks_test.py NORMQUANT

Ends with 77 (skipped) where numpy or all of the frameworks are missing; each one that is missing is named.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
except ImportError:
    print("SKIPPED: numpy is not installed")
    sys.exit(77)

PROGRAM = sys.argv[1]
EPS = 1e-5
failures = []


def check(what, folder, op, expected, tensors, *options):
    """Runs `normquant check` over the tensors; notes a failure when its status is another one."""
    path = pathlib.Path(folder) / "case.npz"
    numpy.savez(path, **tensors)
    command = [PROGRAM, "check", "--op", op, "--tensors", str(path), *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != expected:
        failures.append(what)
        print(f"FAILED: {what}: status {answer.returncode}, expected {expected}\n{answer.stdout}{answer.stderr}")


def rows_of(rng, rows, columns, mean, spread):
    return (mean + spread * rng.standard_normal((rows, columns))).astype(numpy.float32)


# Columns, rows, mean, standard deviation: ordinary, and where Welford's update once left the bounds of two passes.
SHAPES = [(8, 7, 60, 0.6), (8, 64, 30, 1), (16, 16, 1449, 1), (256, 16, 300, 1), (96, 5, 0, 1), (768, 32, 0, 1),
          (768, 32, 10, 1), (1000, 9, 100, 1), (4096, 8, 0.1, 1), (4096, 8, 1000, 2), (10007, 3, 5, 1)]


def torch_cases(folder):
    import torch

    rng = numpy.random.default_rng(1)
    for columns, rows, mean, spread in SHAPES:
        x = torch.from_numpy(rows_of(rng, rows, columns, mean, spread))
        weight = torch.from_numpy(rows_of(rng, 1, columns, 1, 0.2)[0])
        bias = torch.from_numpy(rows_of(rng, 1, columns, 0, 0.2)[0])
        dy = torch.from_numpy(rows_of(rng, rows, columns, 0, 1))
        y, means, rstd = torch.ops.aten.native_layer_norm(x, [columns], weight, bias, EPS)
        given = {"x": x.numpy(), "weight": weight.numpy(), "bias": bias.numpy()}
        statistics = {"mean": means.numpy().reshape(-1), "rstd": rstd.numpy().reshape(-1)}
        layer = ["--norm", "layer", "--eps", str(EPS)]
        what = f"PyTorch {torch.__version__} layer norm {rows}x{columns}, mean {mean}, spread {spread}"
        check(what, folder, "norm", 0, {**given, **statistics, "y": y.numpy()}, *layer)
        off = {"rstd": (1 / numpy.sqrt(x.double().numpy().var(1, ddof=1) + EPS)).astype(numpy.float32)}
        if mean < 5 and columns < 5000:
            check(what + ", unbiased", folder, "norm", 1, {**given, **off}, *layer)

        # As a BitLinear layer goes on: y quantised by its largest magnitude, ties to even.
        scale = 127 / y.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
        codes = (y * scale).round().clamp(-128, 127)
        quantised = {"out": (codes / scale).numpy(), "codes": codes.to(torch.int8).numpy(), **statistics}
        check(what + ", quantised", folder, "forward", 0, {**given, **quantised}, *layer, "--rounding", "half_even")

        gradients = torch.ops.aten.native_layer_norm_backward(dy, x, [columns], means, rstd, weight, bias,
                                                              [True, True, True])
        backward = dict(zip(("dx", "dweight", "dbias"), (g.numpy() for g in gradients)))
        given = {"h": x.numpy(), "dy": dy.numpy(), "weight": weight.numpy(), **statistics}
        check(what + ", backward", folder, "backward", 0, {**given, **backward}, "--norm", "layer")
        backward["dweight"] = backward["dweight"] * numpy.float32(1.01)
        check(what + ", backward altered", folder, "backward", 1, {**given, **backward}, "--norm", "layer")

    for columns, rows in ((768, 16), (4096, 4)):
        x = torch.from_numpy(rows_of(rng, rows, columns, 0, 2))
        weight = torch.from_numpy(rows_of(rng, 1, columns, 1, 0.2)[0])
        rstd = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)
        tensors = {"x": x.numpy(), "weight": weight.numpy(), "y": (x * rstd * weight).numpy(),
                   "rstd": rstd.numpy().reshape(-1)}
        check(f"PyTorch RMS norm {rows}x{columns}", folder, "norm", 0, tensors, "--norm", "rms", "--eps", str(EPS))

    # Unfused modules in bfloat16: y is rounded before it is quantised.
    x = torch.from_numpy(rows_of(rng, 16, 512, 0, 1)).bfloat16()
    y = torch.nn.functional.layer_norm(x.float(), [512], eps=EPS).bfloat16().float()
    scale = 127 / y.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
    codes = (y * scale).round().clamp(-128, 127).to(torch.int8)
    tensors = {"x": x.view(torch.int16).numpy(), "codes": codes.numpy()}
    options = ["--norm", "layer", "--eps", str(EPS), "--rounding", "half_even", "--as", "x=bfloat16"]
    check("PyTorch bfloat16, y rounded", folder, "forward", 0, tensors, *options, "--y-type", "bfloat16")
    check("PyTorch bfloat16, y not rounded", folder, "forward", 1, tensors, *options)

    # Each step by itself in bfloat16, as a module written out in PyTorch computes.
    h = x - x.mean(-1, keepdim=True)
    y = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + EPS)
    tensors = {"x": x.view(torch.int16).numpy(), "y": y.view(torch.int16).numpy()}
    options = ["--norm", "layer", "--eps", str(EPS), "--as", "x=bfloat16", "--as", "y=bfloat16"]
    check("PyTorch bfloat16 steps", folder, "norm", 0, tensors, *options, "--arithmetic", "bfloat16")
    check("PyTorch bfloat16 steps as float32", folder, "norm", 1, tensors, *options)
    return f"PyTorch {torch.__version__}"


def jax_cases(folder):
    import jax
    import jax.numpy as jnp

    rng = numpy.random.default_rng(2)
    for columns, rows, mean, spread in SHAPES:
        x, weight = rows_of(rng, rows, columns, mean, spread), rows_of(rng, 1, columns, 1, 0.2)[0]
        dy = rows_of(rng, rows, columns, 0, 1)

        def norm(x, weight):
            mean = jnp.mean(x, axis=-1, keepdims=True)
            return (x - mean) * jax.lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + EPS) * weight

        y, pull_back = jax.vjp(jax.jit(norm), x, weight)
        _, dweight = pull_back(dy)
        what = f"jax {jax.__version__} layer norm {rows}x{columns}, mean {mean}, spread {spread}"
        check(what, folder, "norm", 0, {"x": x, "weight": weight, "y": numpy.asarray(y)}, "--norm", "layer", "--eps",
              str(EPS))
        means = x.astype(numpy.float64).mean(1)
        rstd = 1 / numpy.sqrt(x.astype(numpy.float64).var(1) + EPS)
        if mean == 0:  # those of jax are not handed out; near zero any right ones serve
            check(what + ", backward", folder, "backward", 0,
                  {"h": x, "dy": dy, "weight": weight, "mean": means.astype(numpy.float32),
                   "rstd": rstd.astype(numpy.float32), "dweight": numpy.asarray(dweight)}, "--norm", "layer")
    return f"jax {jax.__version__}"


def onnxruntime_cases(folder):
    import onnx
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    rng = numpy.random.default_rng(3)
    value = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    for columns, rows in ((8, 5), (768, 16), (4096, 4)):
        x, weight = rows_of(rng, rows, columns, 0.1, 1), rows_of(rng, 1, columns, 1, 0.2)[0]
        node = onnx.helper.make_node("LayerNormalization", ["x", "weight"], ["y", "mean", "rstd"], epsilon=EPS)
        graph = onnx.helper.make_graph([node], "norm", [value("x", [rows, columns]), value("weight", [columns])],
                                       [value("y", None), value("mean", None), value("rstd", None)])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        y, mean, rstd = session.run(None, {"x": x, "weight": weight})
        tensors = {"x": x, "weight": weight, "y": y}
        if mean.size == rows:
            tensors.update(mean=mean.reshape(-1), rstd=rstd.reshape(-1))
        check(f"onnxruntime {onnxruntime.__version__} layer norm {rows}x{columns}", folder, "norm", 0, tensors,
              "--norm", "layer", "--eps", str(EPS))
    return f"onnxruntime {onnxruntime.__version__}"


def main():
    ran = []
    with tempfile.TemporaryDirectory() as folder:
        for cases in (torch_cases, jax_cases, onnxruntime_cases):
            try:
                ran.append(cases(folder))
            except ImportError as missing:
                print(f"SKIPPED: {cases.__name__}: {missing}")
    if not ran:
        print("SKIPPED: none of PyTorch, jax and onnxruntime is installed")
        sys.exit(77)
    print(f"{', '.join(ran)}: {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
