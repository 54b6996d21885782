"""normquant.testing on NumPy arrays, and on torch's tensors where torch is installed: right ones pass, planted errors do not."""

import importlib.util
import subprocess
import tempfile
import unittest
from pathlib import Path
import os

import numpy as np

from normquant import testing
from normquant.testing import (
    CannotTell,
    WrongResult,
    assert_activation_quant,
    assert_norm,
    assert_norm_quant_backward,
    assert_norm_quant_forward,
    assert_weight_quant,
)

EPS = 1e-5


def rounded(q, rounding="half_away"):
    return np.rint(q) if rounding == "half_even" else np.sign(q) * np.floor(np.abs(q) + 0.5)


def forward(x, weight=None, bias=None, norm="rms", eps=EPS, rounding="half_away", residual=None):
    """The operation in float64, outputs in float32."""
    h = x.astype("f8") + (0 if residual is None else residual.astype("f8"))
    mean = h.mean(-1, keepdims=True) if norm == "layer" else 0
    rstd = 1 / np.sqrt(((h - mean) ** 2).mean(-1, keepdims=True) + eps)
    y = (h - mean) * rstd * (1 if weight is None else weight) + (0 if bias is None else bias)
    largest = np.maximum(np.abs(y).max(-1, keepdims=True), 1e-5)
    codes = rounded(y * 127 / largest, rounding).clip(-128, 127)
    found = {"out": (codes * largest / 127).astype("f4"), "codes": codes.astype("i1"),
             "dequant_scale": (largest / 127).astype("f4"), "rstd": rstd.astype("f4")}
    if norm == "layer":
        found["mean"] = mean.astype("f4")
    if residual is not None:
        found["residual_out"] = h.astype("f4")
    return found, y.astype("f4")


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


class Right(unittest.TestCase):
    def test_every_operation(self):
        x, weight, bias, residual = values(5, 3, 64), values(64, seed=2), values(64, seed=3), values(5, 3, 64, seed=4)
        for norm in ("rms", "layer"):
            given, y = forward(x, weight, bias, norm, residual=residual)
            inputs = {"residual": residual, "weight": weight, "bias": bias, "norm": norm, "eps": EPS}
            found = assert_norm_quant_forward(x, **given, **inputs)
            self.assertEqual(found.elements_checked, 3 * 960 + 15 * (2 + (norm == "layer")))
            assert_norm(x, y, **inputs)
        scale = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-5).astype("f8") / 127
        codes = rounded(x / scale, "half_even").astype("i1")
        assert_activation_quant(x, (codes * scale).astype("f4"), codes=codes, dequant_scale=scale.astype("f4"))
        w = values(8, 64)
        factor = np.maximum(np.abs(w.astype("f8")).mean(), 1e-5)
        ternary = np.rint(w / factor).clip(-1, 1)
        assert_weight_quant(w, codes=ternary.astype("i1"), dequant_factor=np.float32(factor))
        rstd = 1 / np.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + EPS)
        dy, stored = values(5, 3, 64, seed=5), rstd.astype("f4").astype("f8")
        g, normed = dy * weight.astype("f8"), x * stored
        dx = stored * (g - normed * (g * normed).mean(-1, keepdims=True))
        dweight = (dy * normed).sum((0, 1))
        assert_norm_quant_backward(x, dy, dx.astype("f4"), rstd=rstd.astype("f4"), weight=weight,
                                   dweight=dweight.astype("f4"), norm="rms")

    def test_any_strides(self):
        x = values(6, 32)
        given, _ = forward(x)
        wide = np.full((12, 64), np.nan, "f4")
        wide[::2, ::2] = x
        assert_norm_quant_forward(wide[::2, ::2], given["out"], norm="rms", eps=EPS)
        assert_norm_quant_forward(x[::-1], given["out"][::-1], norm="rms", eps=EPS)
        assert_norm_quant_forward(np.asfortranarray(x), given["out"], norm="rms", eps=EPS)
        same = np.broadcast_to(x[0], (4, 32))
        assert_norm_quant_forward(same, np.broadcast_to(given["out"][0], (4, 32)), norm="rms", eps=EPS)


class Wrong(unittest.TestCase):
    def setUp(self):
        self.x, self.weight = values(16, 256), values(256, seed=2)
        self.given, self.y = forward(self.x, self.weight)

    def wrong(self, outputs, text, **words):
        with self.assertRaises(WrongResult) as caught:
            assert_norm_quant_forward(self.x, **outputs, **{"weight": self.weight, "norm": "rms", "eps": EPS, **words})
        self.assertIn(text, str(caught.exception))
        self.assertIsInstance(caught.exception, AssertionError)
        return caught.exception.judgement

    def test_another_rounding_is_named(self):
        self.x[:] = np.arange(256) % 255 - 127  # every other code of y / 2 would lie on a tie
        self.x[:, 1::2] += 0.5
        self.x[:, 0] = 127
        self.weight[:] = 1
        outputs, _ = forward(self.x, rounding="half_even")
        codes = rounded(self.x.astype("f8"), "half_even").astype("i1")
        judgement = testing.judge("activation_quant", {"x": self.x, "codes": codes}, rounding="half_away")
        self.assertEqual(judgement.outcome, "wrong")
        self.assertIn('rounding="half_even"', " ".join(judgement.readings))
        self.assertIn('with rounding="half_even" all of it would be right', judgement.text)

    def test_another_eps_is_named(self):
        x = 1e-2 * self.x
        outputs, _ = forward(x, eps=1e-6)
        with self.assertRaises(WrongResult) as caught:
            assert_norm_quant_forward(x, norm="rms", eps=1e-5, rstd=outputs["rstd"])
        self.assertEqual(caught.exception.judgement.readings, ["eps=1e-06"])
        self.assertIn("with eps=1e-06 all of it would be right", str(caught.exception))

    def test_another_norm_is_named(self):
        outputs, _ = forward(self.x + 1, self.weight, norm="layer")
        judgement = testing.judge("forward", {"x": self.x + 1, "weight": self.weight, "codes": outputs["codes"]},
                                  norm="rms", eps=EPS)
        self.assertEqual(judgement.outcome, "wrong")
        self.assertTrue(any('norm="layer"' in reading for reading in judgement.readings), judgement.readings)

    def test_a_shifted_row(self):
        self.given["codes"][7] = np.roll(self.given["codes"][7], 1)
        judgement = self.wrong({"codes": self.given["codes"]}, "codes[7,0]")
        self.assertTrue(all(m["row"] == 7 for m in judgement.mismatches))

    def test_a_finite_row_in_place_of_nan(self):
        self.x[3, 5] = np.nan
        self.wrong({"out": self.given["out"]}, "out[3,")

    def test_one_code_off_by_one(self):
        self.given["codes"][15, 255] ^= 1
        judgement = self.wrong({"codes": self.given["codes"]}, "codes[15,255]")
        self.assertEqual(judgement.elements_wrong, 1)

    def test_a_weight_that_was_swallowed(self):
        self.wrong(forward(self.x)[0], "WRONG: ")

    def test_an_output_cut_off_instead_of_rounded(self):
        scale = self.given["dequant_scale"].astype("f8")
        codes = np.trunc(self.y / scale).astype("i1")
        self.wrong({"codes": codes}, "WRONG: codes[0,")


class NotJudged(unittest.TestCase):
    def test_what_cannot_be_told_is_no_pass(self):
        x = np.full((4, 64), 1000, "f4")
        with self.assertRaises(CannotTell) as caught:
            assert_norm_quant_forward(x, codes=np.zeros((4, 64), "i1"), norm="layer", eps=EPS)
        self.assertNotIsInstance(caught.exception, AssertionError)
        self.assertIn("CANNOT TELL: the bounds do not decide", str(caught.exception))

    def refused(self, kind, text, function, *arguments, **words):
        with self.assertRaisesRegex(kind, text):
            function(*arguments, **words)

    def test_hostile_arguments(self):
        x = values(4, 8)
        rms = {"norm": "rms", "eps": EPS}
        check = assert_norm_quant_forward
        self.refused(TypeError, "x is a list; pass a tensor", check, [1.0], x, **rms)
        self.refused(TypeError, "x holds float64; it must be float32", check, x.astype("f8"), x, **rms)
        self.refused(TypeError, "codes holds float32; codes are int8", check, x, codes=x, **rms)
        self.refused(TypeError, "x holds complex64", check, x.astype("c8"), x, **rms)
        self.refused(TypeError, "x holds object", check, x.astype(object), x, **rms)
        self.refused(TypeError, r"say as_type=\{'x': 'bfloat16'\}", check, x.astype("u2"), x, **rms)
        self.refused(TypeError, "x is big-endian", check, x.astype(">f4"), x, **rms)
        self.refused(TypeError, "eps is 'small'; it must be a number", check, x, x, norm="rms", eps="small")
        self.refused(ValueError, "it must be positive and finite", check, x, x, norm="rms", eps=0)
        self.refused(ValueError, "it must be positive and finite", check, x, x, norm="rms", eps=float("nan"))
        self.refused(ValueError, "norm='l2'; there are rms, layer", check, x, x, norm="l2", eps=EPS)
        self.refused(ValueError, r"out has shape \[4, 7\]; with M 4 and N 8", check, x, x[:, :7], **rms)
        self.refused(ValueError, r"x has shape \[\]; its last dimension is N", check, x[0, 0], x, **rms)
        self.refused(ValueError, "its last dimension is N and must be 1 or more", check, x[:, :0], x[:, :0], **rms)
        self.refused(ValueError, "nothing was checked", check, x[:0], x[:0], **rms)
        self.refused(ValueError, "no output of norm_quant_forward is given", check, x, **rms)
        self.refused(ValueError, "mean is given, but norm=\"rms\" has none", check, x, mean=x[:, 0], **rms)
        self.refused(ValueError, "op='matmul'; there are forward", testing.judge, "matmul", {})
        self.refused(TypeError, "forward has no tensor z", testing.judge, "forward", {"z": x}, **rms)
        for eps in ("1e-6", True, b"1"):
            self.refused(TypeError, "it must be a number", check, x, x, norm="rms", eps=eps)
        self.refused(ValueError, "it must be positive and finite", check, x, x, norm="rms", eps=10**400)
        self.refused(ValueError, r"op=\['forward'\]; there are", testing.judge, ["forward"], {"x": x}, **rms)
        self.refused(TypeError, "tensors is a list; it must be a dict by role", testing.judge, "forward", [x], **rms)
        self.refused(TypeError, "tensors is a NoneType", testing.judge, "forward", None, **rms)
        self.refused(TypeError, "as_type is a str; it must be a dict by role", check, x, x, as_type="bfloat16", **rms)
        self.refused(TypeError, "no tensor of a key that is a int", testing.judge, "forward", {3: x}, **rms)
        self.refused(TypeError, "x is a masked array", check, np.ma.masked_less(x, 0), x, **rms)

        class Broken:
            def __dlpack__(self, **_):
                raise RuntimeError("boom")

            def __dlpack_device__(self):
                return (1, 0)

        self.refused(TypeError, "x is a Broken whose __dlpack__ gives no tensor: boom", check, Broken(), x, **rms)

    def test_saved_tensors_are_judged_again_by_the_program(self):
        program = os.environ.get("NORMQUANT_PROGRAM")
        if not program:
            self.skipTest("NORMQUANT_PROGRAM names no program")
        x = values(4, 8)
        codes = forward(x)[0]["codes"]
        codes[2, 3] ^= 1
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a b" / "case.safetensors"
            testing._save_path = lambda: path
            try:
                judgement = testing.judge("forward", {"x": x, "codes": codes}, norm="rms", eps=EPS)
            finally:
                testing._save_path = None
            command = judgement.command.replace("normquant", program, 1)
            again = subprocess.run(command, shell=True, capture_output=True, text=True)
            self.assertEqual(again.returncode, 1, again.stderr)
            self.assertIn(judgement.reason, again.stdout)


@unittest.skipUnless(importlib.util.find_spec("torch"), "torch is not installed")
class OfTorch(unittest.TestCase):
    def test_types_views_and_gradients(self):
        import torch

        x = torch.randn(6, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
        given, _ = forward(x.float().numpy())
        codes = torch.from_numpy(given["codes"])
        assert_norm_quant_forward(x.requires_grad_(), codes=codes, norm="rms", eps=EPS)
        assert_norm_quant_forward(x.t().contiguous().t(), codes=codes, norm="rms", eps=EPS)
        assert_norm_quant_forward(x.detach().view(torch.int16).numpy(), codes=codes, norm="rms", eps=EPS,
                                  as_type={"x": "bfloat16"})
        with self.assertRaisesRegex(ValueError, "x is on the device meta"):
            assert_norm_quant_forward(x.to("meta"), codes=codes, norm="rms", eps=EPS)
        with self.assertRaisesRegex(TypeError, "layout torch.sparse_coo"):
            assert_norm_quant_forward(x.detach().float().to_sparse(), codes=codes, norm="rms", eps=EPS)
        codes[0, 0] ^= 1
        with self.assertRaises(WrongResult):
            assert_norm_quant_forward(x, codes=codes, norm="rms", eps=EPS)


if __name__ == "__main__":
    unittest.main()
