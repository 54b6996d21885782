"""The layer's asserts of normquant.testing on NumPy arrays, computed here in float64: right outputs pass, planted errors do not."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import truth

from normquant import testing
from normquant.testing import CannotTell, WrongResult, assert_bit_linear_backward, assert_bit_linear_forward

EPS = 1e-6
ROWS, K_IN, K_OUT = 12, 96, 40


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


class Layer:
    """Inputs, and the layer in float64; `change` is applied to the parts on the way."""

    def __init__(self, norm="rms", half_even=False, eps=EPS):
        self.norm, self.half_even, self.eps = norm, half_even, eps
        self.x, self.residual = values(ROWS, K_IN), values(ROWS, K_IN, seed=2)
        self.norm_weight, self.norm_bias = values(K_IN, seed=3) + 2, values(K_IN, seed=4)
        self.linear_weight, self.linear_bias = values(K_OUT, K_IN, seed=5), values(K_OUT, seed=6)
        self.dout, self.dresidual = values(ROWS, K_OUT, seed=7), values(ROWS, K_IN, seed=8)

    def inputs(self):
        names = ("x", "residual", "norm_weight", "norm_bias", "linear_weight", "linear_bias")
        return {name: getattr(self, name) for name in names}

    def words(self, **others):
        return {"norm": self.norm, "eps": self.eps, "rounding": "half_even" if self.half_even else "half_away", **others}

    def forward(self, y_q=lambda a: a, w_q=lambda a: a, bias=1):
        f8 = {name: value.astype("f8") for name, value in self.inputs().items()}
        self.h, self.xhat, rstd, y = truth.norm(f8["x"], f8["residual"], f8["norm_weight"], f8["norm_bias"], self.eps,
                                                self.norm == "rms")
        self.y_q, self.w_q = y_q(truth.activations(y, self.half_even)), w_q(truth.weights(f8["linear_weight"]))
        out = self.y_q @ self.w_q.T + bias * f8["linear_bias"]
        outputs = {"out": out, "w_q": self.w_q, "rstd": rstd, "residual_out": self.h}
        if self.norm == "layer":
            outputs["mean"] = self.h.mean(-1, keepdims=True)
        return {name: value.astype("f4") for name, value in outputs.items()}

    def backward(self, w_q=lambda a: a, y_q=lambda a: a):
        """Inputs and outputs of the backward. It starts from the stored float32, as a kernel does."""
        saved = self.forward()
        h, rstd, w = (saved[name].astype("f8") for name in ("residual_out", "rstd", "w_q"))
        mean = saved["mean"].astype("f8") if self.norm == "layer" else 0
        xhat = (h - mean) * rstd
        dout = self.dout.astype("f8")
        dx, dweight, dbias = truth.norm_backward(dout @ w_q(w), xhat, rstd, self.norm_weight.astype("f8"),
                                                 self.dresidual.astype("f8"), self.norm == "rms")
        operand = y_q(truth.activations(xhat * self.norm_weight + self.norm_bias, self.half_even))
        outputs = {"dx": dx, "dx_residual": dx, "dnorm_weight": dweight, "dnorm_bias": dbias,
                   "dlinear_weight": dout.T @ operand, "dlinear_bias": dout.sum(0)}
        inputs = {"h": saved["residual_out"], "dout": self.dout, "w_q": saved["w_q"], "rstd": saved["rstd"],
                  "mean": saved.get("mean"), "norm_weight": self.norm_weight, "norm_bias": self.norm_bias,
                  "dresidual": self.dresidual}
        return inputs, {name: value.astype("f4") for name, value in outputs.items()}


class Right(unittest.TestCase):
    def test_forward(self):
        for norm in ("rms", "layer"):
            for half_even in (False, True):
                layer = Layer(norm, half_even)
                outputs = layer.forward()
                for product in ("any", "codes", "float32"):
                    found = assert_bit_linear_forward(**layer.inputs(), **outputs, **layer.words(product=product))
                    self.assertEqual(len(found.tensors), len(outputs))

    def test_without_what_is_optional(self):
        layer = Layer()
        layer.residual, layer.norm_weight, layer.norm_bias, layer.linear_bias = (0 * values(n) for n in (K_IN, K_IN, K_IN, K_OUT))
        layer.norm_weight += 1
        out = layer.forward()["out"].reshape(3, 4, K_OUT)
        assert_bit_linear_forward(layer.x.reshape(3, 4, K_IN), out, linear_weight=layer.linear_weight, **layer.words())

    def test_backward(self):
        for norm in ("rms", "layer"):
            layer = Layer(norm)
            inputs, outputs = layer.backward()
            found = assert_bit_linear_backward(**inputs, **outputs, norm=norm)
            self.assertEqual(found.elements_checked, 2 * ROWS * K_IN + 2 * K_IN + K_OUT * K_IN + K_OUT)

    def test_rows_of_nan(self):
        layer = Layer()
        layer.x[3, 7], layer.x[5, 1] = np.nan, np.inf
        with np.errstate(invalid="ignore"):
            outputs = layer.forward()
            outputs["out"][[3, 5]] = outputs["rstd"][[3, 5]] = np.nan
        assert_bit_linear_forward(**layer.inputs(), out=outputs["out"], rstd=outputs["rstd"], **layer.words())
        outputs["out"][3] = 0
        with self.assertRaisesRegex(WrongResult, r"out\[3,0\] is 0, expected NaN"):
            assert_bit_linear_forward(**layer.inputs(), out=outputs["out"], **layer.words())


class Wrong(unittest.TestCase):
    def reading(self, layer, outputs, **words):
        with self.assertRaises(WrongResult) as caught:
            assert_bit_linear_forward(**layer.inputs(), **outputs, **layer.words(**words))
        return caught.exception.judgement.readings

    def test_what_would_be_right_is_named(self):
        layer = Layer()
        self.assertEqual(self.reading(layer, {"out": layer.forward(bias=0)["out"]}), ["linear_bias dropped"])
        other = Layer(norm="layer")
        self.assertIn('norm="layer"', self.reading(layer, {"out": other.forward()["out"]}))
        layer.x, layer.residual = 1e-3 * layer.x, 1e-3 * layer.residual
        other = Layer(eps=1e-5)
        other.x, other.residual = layer.x, layer.residual
        self.assertEqual(self.reading(layer, {"out": other.forward()["out"]}), ["eps=1e-05"])

    def test_operands_in_place_of_codes(self):
        layer = Layer()
        halves = {"y_q": lambda a: a.astype("f2").astype("f8"), "w_q": lambda a: a.astype("f2").astype("f8")}
        out = {"out": layer.forward(**halves)["out"]}
        self.assertEqual(self.reading(layer, out, product="codes"), ['product="float16"'])
        self.assertEqual(self.reading(layer, out), [])  # out and x are float32
        assert_bit_linear_forward(**layer.inputs(), **out, **layer.words(product="float16"))

    def test_mistakes_of_the_forward(self):
        def one_code(y_q):
            y_q[4, 9] += np.abs(y_q[4]).max() / 127
            return y_q

        def one_weight(w_q):
            w_q[7, 3] += np.abs(w_q).max()
            return w_q

        plants = {
            "one code": {"y_q": one_code},
            "one weight": {"w_q": one_weight},
            "a scale by a row of weights": {"w_q": lambda w: w * np.linspace(1, 1.001, K_OUT)[:, None]},
            "weights that are not ternary": {"w_q": lambda w: w + 1e-3 * values(K_OUT, K_IN)},
            "activations that are not quantised": {"y_q": lambda y: y + 1e-3 * values(ROWS, K_IN)},
            "rows in another order": {"w_q": lambda w: np.roll(w, 1, 0)},
        }
        for name, change in plants.items():
            with self.subTest(name):
                layer = Layer()
                self.assertEqual(self.reading(layer, {"out": layer.forward(**change)["out"]}), [])

    def test_one_element_is_named(self):
        layer = Layer()
        for name, value in layer.forward().items():
            value.flat[np.abs(value).argmax()] *= 1.01
            with self.subTest(name), self.assertRaisesRegex(WrongResult, rf"WRONG: {name}\["):
                assert_bit_linear_forward(**layer.inputs(), **{name: value}, **layer.words())

    def test_mistakes_of_the_backward(self):
        layer = Layer("layer")
        inputs, outputs = layer.backward()
        for name, value in outputs.items():
            broken = value.copy()
            broken.flat[-1] += 1e-3 * np.abs(value).max()
            with self.subTest(name), self.assertRaisesRegex(WrongResult, rf"WRONG: {name}\["):
                assert_bit_linear_backward(**inputs, **{name: broken}, norm="layer")
        plants = {
            "dx": layer.backward(w_q=lambda w: w + 1e-4)[1]["dx"],
            "dlinear_weight": layer.backward(y_q=lambda y: y * (128 / 127))[1]["dlinear_weight"],
            "dnorm_weight": outputs["dnorm_weight"] / ROWS,
            "dx_residual": outputs["dx"] - layer.dresidual,
        }
        for name, value in plants.items():
            with self.subTest(name), self.assertRaisesRegex(WrongResult, rf"WRONG: {name}\["):
                assert_bit_linear_backward(**inputs, **{name: value}, norm="layer")


class NotJudged(unittest.TestCase):
    def test_rows_without_variance(self):
        layer = Layer("layer")
        x = np.full((ROWS, K_IN), 1000, "f4")
        with self.assertRaisesRegex(CannotTell, "CANNOT TELL: the bounds do not decide"):
            assert_bit_linear_forward(x, np.zeros((ROWS, K_OUT), "f4"), linear_weight=layer.linear_weight, **layer.words())

    def test_hostile_arguments(self):
        layer = Layer()
        x, w, out = layer.x, layer.linear_weight, layer.forward()["out"]
        for kind, text, given in (
            (ValueError, r"out has shape \[12, 39\]; with M 12, K_in 96 and K_out 40 it must have 480 elements, 40 in the last",
             {"out": out[:, 1:]}),
            (ValueError, r"linear_weight has shape \[40, 95\]; it must be \[K_out, K_in\], .* K_in 96",
             {"out": out, "linear_weight": w[:, 1:]}),
            (ValueError, r"linear_weight has shape \[3840\]; it must be \[K_out, K_in\]", {"out": out, "linear_weight": w.ravel()}),
            (ValueError, r"linear_weight has shape \[0, 96\]; it must be \[K_out, K_in\], with K_out 1", {"out": out, "linear_weight": w[:0]}),
            (ValueError, r"linear_weight has shape \[96, 40\]", {"out": out, "linear_weight": w.T}),
            (ValueError, r"linear_bias has shape \[96\]; .* it must have 40 elements", {"out": out, "linear_bias": x[0]}),
            (ValueError, "nothing was checked", {"x": x[:0], "out": out[:0]}),
            (ValueError, "no output of bit_linear_forward is given; there are out, w_q, mean", {}),
            (ValueError, "linear_weight is not given; bit_linear_forward needs it", {"out": out, "linear_weight": None}),
            (ValueError, "product='int8'; there are any, codes", {"out": out, "product": "int8"}),
            (TypeError, "out holds float64; it must be float32", {"out": out.astype("f8")}),
            (TypeError, "w_q holds int8; it must be float32", {"w_q": w.astype("i1")}),
        ):
            with self.subTest(text), self.assertRaisesRegex(kind, text):
                assert_bit_linear_forward(**{"x": x, "linear_weight": w, **layer.words(), **given})
        inputs, outputs = layer.backward()
        with self.assertRaisesRegex(ValueError, 'norm="layer" needs mean'):
            assert_bit_linear_backward(**inputs, dx=outputs["dx"], norm="layer")
        with self.assertRaisesRegex(ValueError, r"dout has shape \[12, 39\]; with M 12, K_in 96 and K_out 40"):
            assert_bit_linear_backward(**{**inputs, "dout": layer.dout[:, 1:]}, dx=outputs["dx"], norm="rms")
        with self.assertRaisesRegex(ValueError, "product has no meaning for norm_quant_forward"):
            testing.judge("forward", {"x": x, "out": x}, norm="rms", eps=EPS, product="codes")

    def test_saved_tensors_are_judged_again_by_the_program(self):
        program = os.environ.get("NORMQUANT_PROGRAM")
        if not program:
            self.skipTest("NORMQUANT_PROGRAM names no program")
        layer = Layer()
        out = layer.forward(bias=0)["out"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.safetensors"
            testing._save_path = lambda: path
            try:
                judgement = testing.judge("bit_linear_forward", {**layer.inputs(), "out": out}, **layer.words(product="codes"))
            finally:
                testing._save_path = None
            command = judgement.command.replace("normquant", program, 1)
            again = subprocess.run(command, shell=True, capture_output=True, text=True)
            self.assertEqual(again.returncode, 1, again.stderr)
            for text in (judgement.reason, "with linear_bias dropped all of it would be right"):
                self.assertIn(text, again.stdout)


if __name__ == "__main__":
    unittest.main()
