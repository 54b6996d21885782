#!/usr/bin/env python3
"""plant.py: what it makes of a list, and how it refuses one. No compiler is needed."""
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

PLANT = pathlib.Path(__file__).with_name("plant.py")

KERNEL = """float mean(float sum, float count) {
  const float all = sum /
                    count;
  total += all;
  total += all;
  return all;
}
"""

LIST = """# a comment
[kernels/one.cu]

{name}: wrong N
  - {production}
  + {planted}
  shows norm_quant_forward ^one_pass
"""


def entry(name="by_one", production="sum / count", planted="sum"):
    return LIST.format(name=name, production=production, planted=planted)


@contextlib.contextmanager
def tree(*lists):
    """A source tree with one kernel, and the lists."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "kernels").mkdir()
        (root / "layer").mkdir()
        (root / "kernels/one.cu").write_text(KERNEL)
        for number, text in enumerate(lists):
            (root / f"{number}.mutants").write_text(text)
        yield root


def plant(root, *options):
    lists = sorted(str(path) for path in root.glob("*.mutants"))
    return subprocess.run([sys.executable, PLANT, "--source", root, "--out", root / "out", "--list", *lists, *options],
                          capture_output=True, text=True, check=False)


class Plant(unittest.TestCase):
    def planted(self, *lists):
        with tree(*lists) as root:
            result = plant(root)
            self.assertEqual(result.returncode, 0, result.stderr)
            return (root / "out/kernels/one.cu").read_text(), (root / "out/mutant_table.cpp").read_text()

    def refused(self, *lists):
        with tree(*lists) as root:
            result = plant(root)
            self.assertEqual(result.returncode, 2)
            self.assertFalse((root / "out").exists(), "nothing may be written")
            return result.stderr

    def test_an_expression_keeps_its_production_text(self):
        text, table = self.planted(entry())
        self.assertIn("? (sum) : (sum /\n                    count));", text)
        self.assertIn('"by_one"', table)

    def test_a_statement_becomes_a_branch(self):
        text, _ = self.planted(entry(production="return all;", planted="return all + 1;"))
        self.assertIn("{ return all + 1; } else { return all; }", text)

    def test_two_mutants_of_one_place(self):
        text, _ = self.planted(entry("by_one"), entry("by_two", planted="sum / 2"))
        self.assertEqual(text.count("(sum /\n"), 1)
        self.assertEqual(text.count("mutant_is("), 2)

    def test_a_place_within_another(self):
        text, _ = self.planted(entry("outer", "const float all = sum / count;", "const float all = 0;"), entry("inner"))
        self.assertEqual(text.count("mutant_is("), 2)

    def test_a_kernel_that_was_changed(self):
        sentence = self.refused(entry(production="sum / number"))
        self.assertIn("by_one", sentence)
        self.assertIn("kernels/one.cu no longer has 'sum / number'", sentence)

    def test_all_that_no_longer_match_are_named(self):
        sentence = self.refused(entry("first", production="gone"), entry("second", production="gone too"))
        self.assertIn("first", sentence)
        self.assertIn("second", sentence)

    def test_a_text_that_is_there_twice(self):
        sentence = self.refused(entry(production="total += all;"))
        self.assertIn("2 times", sentence)

    def test_the_second_of_two_by_what_comes_before(self):
        text, _ = self.planted(entry(production="total += all;", planted="total = 0;").replace(
            "  - ", "  @ total += all;\n  - "))
        self.assertLess(text.index("total += all;"), text.index("mutant_is("))

    def test_places_that_overlap(self):
        self.assertIn("overlaps", self.refused(entry("one", "all = sum /"), entry("two", "sum / count")))

    def test_a_name_twice(self):
        self.assertIn("choose another name", self.refused(entry(), entry(planted="count")))

    def test_unknown_words(self):
        self.assertIn("no operation 'forwards'", self.refused(entry().replace("norm_quant_forward", "forwards")))
        self.assertIn("'=' is no word", self.refused(entry().replace("  + ", "  = ")))
        self.assertIn("it must be host, gpu or watched", self.refused(entry() + "  on mars\n"))
        self.assertIn("no file kernels/two.cu", self.refused(entry().replace("one.cu", "two.cu")))

    def test_a_file_that_nothing_compiles(self):
        with tree(entry()) as root:
            result = plant(root, "--compiled", "kernels/two.cu")
            self.assertEqual(result.returncode, 2)
            self.assertIn("by_one: nothing compiles the copy of kernels/one.cu", result.stderr)
            self.assertEqual(plant(root, "--compiled", "kernels/two.cu", "kernels/one.cu").returncode, 0)

    def test_headers_are_compiled_with_what_includes_them(self):
        with tree(entry().replace("one.cu", "one.cuh")) as root:
            (root / "kernels/one.cuh").write_text(KERNEL)
            self.assertEqual(plant(root, "--compiled", "kernels/one.cu").returncode, 0)

    def test_files_that_stay_the_same_are_not_written_again(self):
        with tree(entry()) as root:
            plant(root)
            before = (root / "out/kernels/one.cu").stat().st_mtime_ns
            plant(root)
            self.assertEqual((root / "out/kernels/one.cu").stat().st_mtime_ns, before)

    def test_the_committed_lists_match_the_kernels(self):
        here = PLANT.parent
        with tempfile.TemporaryDirectory() as out:
            result = subprocess.run([sys.executable, PLANT, "--source", here.parent.parent, "--out", out, "--list",
                                     *sorted(here.glob("lists/*.mutants"))], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
