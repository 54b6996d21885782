"""What scripts/train_on_gpu.py says of losses: which parts of a run agree. No torch is needed."""

import importlib.util
import math
import subprocess
import sys
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_on_gpu.py"


def script():
    spec = importlib.util.spec_from_file_location("train_on_gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Agreement(unittest.TestCase):
    def verdicts(self, ours, theirs):
        return [agrees for *_, agrees in script().agreement(ours, theirs)]

    def test_means_of_parts_are_those_of_their_steps(self):
        self.assertEqual(script().means_of_parts([1.0] * 100 + [3.0] * 100), [1.0] * 5 + [3.0] * 5)
        self.assertEqual(script().means_of_parts([1.0, 2.0, 4.0]), [1.0, 2.0, 4.0])

    def test_a_mean_within_the_scatter_agrees(self):
        theirs = [[2.0] * 10, [2.2] * 10]
        self.assertEqual(self.verdicts([[2.0] * 10, [2.4] * 10], theirs), [True] * 10)

    def test_a_mean_outside_of_it_does_not(self):
        theirs = [[2.0] * 10, [2.2] * 10]
        self.assertEqual(self.verdicts([[2.5] * 10, [2.5] * 10], theirs), [False] * 10)
        late = [2.1] * 9 + [3.0]
        self.assertEqual(self.verdicts([late, late], theirs), [True] * 9 + [False])

    def test_a_loss_that_is_no_number_does_not(self):
        theirs = [[2.0] * 10, [2.2] * 10]
        self.assertEqual(self.verdicts([[math.nan] * 10] * 2, theirs), [False] * 10)
        self.assertEqual(self.verdicts([[2.0] * 10] * 2, [[math.nan] * 10] * 2), [False] * 10)

    def test_one_run_has_no_scatter_and_is_refused(self):
        done = subprocess.run([sys.executable, SCRIPT, "--seeds", "1"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("scatter", done.stderr)


if __name__ == "__main__":
    unittest.main()
