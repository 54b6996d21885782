"""fp8 codes, static scales and the floor of normquant.testing: honest codes pass, usual mistakes are found and named."""

import importlib.util
import unittest

import numpy as np

from normquant import testing
from normquant.testing import CannotTell, WrongResult, assert_activation_quant, assert_norm_quant_forward

EPS = 1e-6
FP8 = {"format": "fp8_e4m3"}
# The finite numbers of e4m3 from 0 upwards; the place of each is its byte.
NUMBERS = np.array([m * 2.0**-9 if e == 0 else (8 + m) * 2.0 ** (e - 10) for e in range(16) for m in range(8)][:127])


def e4m3(values, ties="even", beyond="saturate", flush=False, cut=False):
    """Bytes of the nearest numbers."""
    magnitude = np.abs(values)
    above = np.searchsorted(NUMBERS, np.minimum(magnitude, 448)).clip(1, 126)
    below = above - 1
    middle = (NUMBERS[above] + NUMBERS[below]) / 2
    up = (magnitude > middle) | ((magnitude == middle) & ((ties == "away") | (above % 2 == 0)))
    if cut:
        up = magnitude >= NUMBERS[above]
    code = np.where(up, above, below)
    if flush:
        code = np.where(NUMBERS[code] < 2.0**-6, 0, code)
    if beyond == "nan":
        code = np.where(magnitude > 464, 127, code)
    return (code | np.where(np.signbit(values), 128, 0)).astype("u1")


def number(code):
    return np.where(code & 127 == 127, np.nan, np.append(NUMBERS, 0)[code & 127]) * np.where(code & 128, -1.0, 1.0)


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def wide(*shape):
    """Of many magnitudes: rows whose codes are subnormal as well."""
    return (values(*shape).astype("f8") ** 5).astype("f4")


def scale_of(x, largest=448.0, floor=1e-5):
    return largest / np.maximum(np.abs(x.astype("f8")).max(-1, keepdims=True), floor)


def dequantised(scale):
    return (1 / scale).astype("f4")


class Right(unittest.TestCase):
    def test_activations(self):
        for x in (values(16, 256), wide(16, 256), 0 * values(4, 64), 1e-7 * values(4, 64), values(3, 2, 40)):
            for floor in (1e-5, 0.25, 100.0):
                scale = scale_of(x, floor=floor)
                codes = e4m3(x * scale)
                assert_activation_quant(x, (number(codes) / scale).astype("f4"), codes=codes, dequant_scale=dequantised(scale),
                                        quant_scale=scale.astype("f4"), floor=floor, **FP8)
                whole = np.rint(x * scale_of(x, 127, floor)).astype("i1")
                assert_activation_quant(x, codes=whole, floor=floor)
            for static in (0.5, 3.0, 4096.0):
                assert_activation_quant(x, codes=e4m3(x * np.float64(static)), static_scale=static, **FP8)
                whole = np.rint(x * np.float64(static)).clip(-128, 127).astype("i1")
                assert_activation_quant(x, codes=whole, static_scale=static)

    def test_a_norm(self):
        x, weight = values(16, 256), values(256, seed=2)
        y = x * weight / np.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + EPS)
        for floor in (1e-5, 30.0):
            scale = scale_of(y, floor=floor)
            assert_norm_quant_forward(x, codes=e4m3(y * scale), dequant_scale=dequantised(scale), weight=weight, norm="rms",
                                      eps=EPS, floor=floor, **FP8)
        assert_norm_quant_forward(x, codes=e4m3(y * 300.0), weight=weight, norm="rms", eps=EPS, static_scale=300, **FP8)

    def test_signs_of_zero_and_either_nan(self):
        x = np.array([[0.0, -0.0, 1.0, -1.0], [np.nan, 1, 2, 3]], "f4")
        codes = e4m3(x * scale_of(x))
        codes[1] = 0x7F
        assert_activation_quant(x, codes=codes, **FP8)
        codes[0, :2] ^= 0x80
        assert_activation_quant(x, codes=codes, **FP8)

    @unittest.skipUnless(importlib.util.find_spec("ml_dtypes"), "ml_dtypes is not installed")
    def test_ml_dtypes(self):
        import ml_dtypes

        x = values(8, 64).astype(ml_dtypes.bfloat16)
        scale = scale_of(x.astype("f8"))
        codes = (x.astype("f8") * scale).astype("f4").astype(ml_dtypes.float8_e4m3fn)
        assert_activation_quant(x, codes=codes, **FP8)
        with self.assertRaisesRegex(TypeError, 'codes holds float8_e4m3fn; say format="fp8_e4m3"'):
            assert_activation_quant(x, codes=codes)
        with self.assertRaisesRegex(TypeError, 'codes holds float8_e5m2; codes of format="fp8_e4m3" are float8_e4m3fn'):
            assert_activation_quant(x, codes=codes.astype("f4").astype(ml_dtypes.float8_e5m2), **FP8)


class Wrong(unittest.TestCase):
    def named(self, x, mistake, **given):
        """The verdict is wrong, and the mistake is what it says would make all of it right."""
        with self.assertRaises(WrongResult) as caught:
            assert_activation_quant(x, **given)
        self.assertIn(mistake, caught.exception.judgement.readings)
        self.assertIn("all of it would be right", str(caught.exception))
        self.assertIn(mistake, str(caught.exception))

    def test_ties_rounded_away(self):
        x = (np.arange(-512, 512) / 64).astype("f4").reshape(4, 256)
        self.named(x, "ties away from zero", codes=e4m3(x.astype("f8"), ties="away"), static_scale=1, **FP8)

    def test_nan_in_place_of_saturation(self):
        x = 200 * values(8, 256)
        codes = e4m3(x.astype("f8"), beyond="nan")
        self.named(x, "NaN beyond 448 in place of 448", codes=codes, static_scale=1, **FP8)
        out = number(codes).astype("f4")
        self.named(x, "NaN beyond 448 in place of 448", out=out, static_scale=1, **FP8)

    def test_the_scale_of_int8(self):
        x = values(8, 256)
        scale = scale_of(x, 127)
        self.named(x, "the scale of int8, 127 / absmax", codes=e4m3(x * scale), dequant_scale=dequantised(scale), **FP8)
        self.named(x, "the scale of int8, 127 / absmax", dequant_scale=dequantised(scale), **FP8)

    def test_the_floor_ignored(self):
        x = 1e-3 * values(8, 256)
        for format, largest in (("fp8_e4m3", 448), ("int8", 127)):
            scale = scale_of(x, largest)
            codes = e4m3(x * scale) if largest == 448 else np.rint(x * scale).astype("i1")
            self.named(x, "floor=1e-05", codes=codes, dequant_scale=dequantised(scale), format=format, floor=0.5)
        x = 1e-7 * values(8, 256)
        scale = scale_of(x, floor=0)
        self.named(x, "no floor of absmax", codes=e4m3(x * scale), **FP8)

    def test_subnormals_flushed(self):
        x = wide(8, 256)
        codes = e4m3(x * scale_of(x), flush=True)
        self.named(x, "codes below 2^-6 flushed to 0", codes=codes, **FP8)

    def test_cut_off(self):
        x = values(8, 256)
        self.named(x, "codes cut off towards zero", codes=e4m3(x * scale_of(x), cut=True), **FP8)
        self.named(x, "codes cut off towards zero", codes=np.trunc(x * scale_of(x, 127)).astype("i1"))

    def test_the_inverse_of_a_static_scale(self):
        x = values(8, 256)
        self.named(x, "static_scale=0.02", codes=e4m3(x * 0.02), static_scale=50, **FP8)

    def test_elements_are_named(self):
        x = values(4, 64)
        codes = e4m3(x * scale_of(x))
        codes[2, 5] ^= 1
        judgement = testing.judge("activation_quant", {"x": x, "codes": codes}, **FP8)
        self.assertEqual((judgement.outcome, judgement.elements_wrong, judgement.readings), ("wrong", 1, []))
        self.assertIn("WRONG: codes[2,5] is 0x", judgement.text)

    def test_a_finite_row_in_place_of_nan(self):
        x = values(4, 64)
        codes = e4m3(x * scale_of(x))
        x[1, 1] = np.inf
        judgement = testing.judge("activation_quant", {"x": x, "codes": codes}, **FP8)
        self.assertIn("expected code 0x7F (NaN)", judgement.reason)


class NotJudged(unittest.TestCase):
    def test_rows_without_variance(self):
        with self.assertRaises(CannotTell):
            assert_norm_quant_forward(np.full((4, 64), 1000, "f4"), codes=np.zeros((4, 64), "u1"), norm="layer", eps=EPS, **FP8)

    def test_hostile_arguments(self):
        x, codes = values(4, 8), np.zeros((4, 8), "u1")
        for kind, text, words in (
            (TypeError, 'codes holds float32; codes of format="fp8_e4m3" are float8_e4m3fn, or a byte each', {"codes": x, **FP8}),
            (TypeError, "codes holds uint8; codes are int8", {"codes": codes}),
            (ValueError, "format='fp8'; there are int8, fp8_e4m3", {"codes": codes, "format": "fp8"}),
            (TypeError, "format is 8; it must be one of the words", {"codes": codes, "format": 8}),
            (ValueError, "static_scale=0: it must be from 1e-12 to 1e", {"codes": codes, "static_scale": 0, **FP8}),
            (ValueError, "static_scale=-2: it must be from", {"codes": codes, "static_scale": -2, **FP8}),
            (ValueError, "static_scale=inf: it must be a finite number", {"codes": codes, "static_scale": np.inf, **FP8}),
            (TypeError, "it must be a number", {"codes": codes, "static_scale": np.ones(2), **FP8}),
            (ValueError, "floor=nan: it must be a finite number", {"codes": codes, "floor": np.nan, **FP8}),
            (ValueError, "floor=1e.40: it must be from 1e-12 to 1e", {"codes": codes, "floor": 1e40, **FP8}),
            (ValueError, "dequant_scale is given, but there is none a row where static_scale is said",
             {"codes": codes, "dequant_scale": x[:, 0], "static_scale": 2, **FP8}),
            (ValueError, r"codes has shape \[4, 7\]", {"codes": codes[:, :7], **FP8}),
        ):
            with self.subTest(text), self.assertRaisesRegex(kind, text):
                assert_activation_quant(x, **words)
        with self.assertRaisesRegex(ValueError, "static_scale has no meaning for weight_quant"):
            testing.judge("weight_quant", {"w": x, "out": x}, static_scale=1.0)
        with self.assertRaisesRegex(ValueError, "format has no meaning for norm"):
            testing.judge("norm", {"x": x, "y": x}, norm="rms", eps=EPS, **FP8)
        with self.assertRaisesRegex(ValueError, "rounding has no meaning for norm"):
            testing.judge("norm", {"x": x, "y": x}, norm="rms", eps=EPS, rounding="half_even")


@unittest.skipUnless(importlib.util.find_spec("torch"), "torch is not installed")
class OfTorch(unittest.TestCase):
    def test_float8_tensors(self):
        import torch

        if not hasattr(torch, "float8_e4m3fnuz"):
            self.skipTest(f"torch {torch.__version__} has not all types of 8 bits")
        x = values(8, 256)
        y = torch.from_numpy(x)
        codes = torch.from_numpy(e4m3(x * scale_of(x)).copy()).view(torch.float8_e4m3fn)
        assert_activation_quant(y, codes=codes, **FP8)
        assert_activation_quant(y, codes=codes.view(torch.uint8), **FP8)
        assert_activation_quant(y.t().contiguous().t(), codes=codes.t().contiguous().t(), **FP8)
        mixed = (y * torch.from_numpy(scale_of(x)).float()).to(torch.float8_e4m3fn)  # torch's own conversion
        assert_activation_quant(y, codes=mixed, **FP8)
        with self.assertRaisesRegex(TypeError, 'codes holds float8_e4m3fn; say format="fp8_e4m3", or give int8'):
            assert_activation_quant(y, codes=codes)
        for other in (torch.float8_e5m2, torch.float8_e4m3fnuz):
            with self.assertRaisesRegex(TypeError, f"codes holds {str(other)[6:]}; codes of format"):
                assert_activation_quant(y, codes=codes.view(torch.uint8).view(other), **FP8)
        with self.assertRaises(WrongResult) as caught:
            assert_activation_quant(y, codes=(200 * y).to(torch.float8_e4m3fn), static_scale=torch.tensor(200.0), **FP8)
        self.assertIn("NaN beyond 448", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
