"""The oracle's tests by unittest alone: what CTest runs with Debian's Python. Status 77, skipped, without NumPy."""

import importlib.util
import sys
import unittest
from pathlib import Path

if importlib.util.find_spec("numpy") is None:
    print("skipped: this Python has no NumPy (python3-numpy)")
    sys.exit(77)

folder = Path(__file__).parent
sys.path.insert(0, str(folder))
names = [path.stem for pattern in ("test_testing*.py", "test_bench*.py") for path in sorted(folder.glob(pattern))]
result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromNames(names))
sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
