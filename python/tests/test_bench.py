"""normquant.bench on the CPU: right callables get times, wrong ones do not."""

import unittest

import numpy as np

import normquant
from normquant.testing import WrongResult
from test_testing import forward

RMS = {"op": "forward", "norm": "rms", "eps": 1e-5, "outputs": ("codes", "dequant_scale"), "weight": True,
       "shape": (8, 64), "device": "numpy", "quick": True}


def honest(x, weight):
    found, _ = forward(x, weight)
    return found["codes"], found["dequant_scale"]


class Times(unittest.TestCase):
    def test_a_right_callable_stands_beside_ours(self):
        standing = normquant.bench(honest, **RMS)
        self.assertEqual(standing.kind, "cpu_execution")
        self.assertGreater(standing.us, 0)
        self.assertIsNone(standing.copy_us)
        self.assertIsNone(standing.cold_us)
        self.assertEqual(standing.bytes, 8 * 64 * 5 + 64 * 4 + 8 * 4)
        self.assertEqual(standing.judged, 2 * (8 * 64 + 8))
        self.assertGreater(standing.best["median_us"], 0)
        self.assertIn("these are CPU times: they say nothing about a GPU", str(standing))
        self.assertIn("normquant, auto: ", str(standing))

    def test_the_callers_own_inputs_and_a_dict_of_outputs(self):
        x = np.ones((4, 32), "f4") * np.arange(32, dtype="f4")
        standing = normquant.bench(lambda x: forward(x)[0], op="forward", norm="rms", eps=1e-5, inputs={"x": x},
                                   outputs=("out", "rstd"), ours="none")
        self.assertEqual(standing.ours, [])

    def test_every_operation_makes_its_inputs(self):
        def backward(h, dy, rstd):
            g, normed = dy.astype("f8"), h * rstd.astype("f8")[:, None]
            return (rstd[:, None] * (g - normed * (g * normed).mean(1, keepdims=True))).astype("f4")

        def ternary(w):
            return np.rint(w / np.abs(w.astype("f8")).mean()).clip(-1, 1).astype("i1")

        def activation(x):
            return np.rint(x * (127 / np.abs(x.astype("f8")).max(1, keepdims=True))).astype("i1")

        made = {"shape": (8, 64), "device": "numpy", "ours": "none"}
        normquant.bench(backward, op="backward", norm="rms", outputs="dx", **made)
        normquant.bench(ternary, op="weight_quant", outputs="codes", **made)
        normquant.bench(activation, op="activation_quant", outputs="codes", **made)
        normquant.bench(lambda x: forward(x)[1], op="norm", norm="rms", eps=1e-5, outputs="y", **made)

    def test_a_wrong_callable_gets_no_time(self):
        with self.assertRaises(WrongResult):
            normquant.bench(lambda x, weight: honest(x, weight * 0 + 1), **RMS)

    def test_one_that_is_right_at_first_gets_no_time(self):
        calls = []

        def lazy(x, weight):
            calls.append(honest(x, weight) if not calls else calls[0])
            return calls[0]

        with self.assertRaises(WrongResult):
            normquant.bench(lazy, **RMS)

    def test_what_the_callable_raises_comes_out(self):
        calls = []

        def fails_later(x, weight):
            calls.append(None)
            if len(calls) > 2:
                raise KeyError("later")
            return honest(x, weight)

        with self.assertRaisesRegex(KeyError, "later"):
            normquant.bench(fails_later, **RMS)

    def test_hostile_arguments(self):
        for kind, text, words in (
            (ValueError, "op='matmul'; there are forward", {"op": "matmul"}),
            (ValueError, "forward has out, codes", {"outputs": ("dx",)}),
            (ValueError, r"give shape=\(rows, columns\), or inputs", {"shape": None}),
            (ValueError, "it must be .rows, columns., each 1 or more", {"shape": (0, 64)}),
            (ValueError, "NumPy has no bfloat16", {"dtype": "bfloat16"}),
            (ValueError, "say which norm it is", {"norm": None}),
            (ValueError, "ours='best'; there are auto, all, none", {"ours": "best"}),
            (TypeError, "the callable returned 2 values", {"outputs": ("codes",)}),
        ):
            with self.assertRaisesRegex(kind, text):
                normquant.bench(honest, **{**RMS, **words})


if __name__ == "__main__":
    unittest.main()
