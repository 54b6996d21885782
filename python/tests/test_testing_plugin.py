"""What pytest shows of judgements; skipped without pytest."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CASES = '''
import numpy as np
from normquant.testing import assert_activation_quant

x = np.random.default_rng(1).standard_normal((4, 32)).astype("f4")
codes = np.rint(x * (127 / np.abs(x.astype("f8")).max(1, keepdims=True))).astype("i1")

def test_right():
    assert_activation_quant(x, codes=codes)

def test_wrong():
    codes[2, 7] ^= 1
    assert_activation_quant(x, codes=codes)
'''


@unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed")
class Plugin(unittest.TestCase):
    def test_failures_the_summary_and_saved_tensors(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "test_cases.py").write_text(CASES)
            found = subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "normquant.pytest_plugin",
                 "--normquant-save", "saved", "test_cases.py"],
                cwd=folder, capture_output=True, text=True,
                env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            )
            self.assertEqual(found.returncode, 1, found.stdout + found.stderr)
            for text in (
                "WRONG: codes[2,7] is",
                "128 elements checked, 1 wrong",
                "judged again by: normquant check --op activation_quant",
                "normquant: 2 tensors judged (256 elements): 1 cases right, 1 wrong, 0 that cannot be told",
            ):
                self.assertIn(text, found.stdout)
            self.assertNotIn("def _demand", found.stdout)  # the oracle's own frames are hidden
            saved = list(Path(folder, "saved").iterdir())
            self.assertEqual([path.name for path in saved], ["test_cases.py_test_wrong-1.safetensors"])


if __name__ == "__main__":
    unittest.main()
