#!/usr/bin/env python3
"""mechanical.py: the mutants of a tiny kernel, their names, samples and parts. Status 77 where libclang is missing."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
MECHANICAL = HERE / "mechanical.py"

KERNEL = """#define __device__
#define __global__
void __syncthreads();
float scaled(float value, int from, int to);
constexpr int half(int n) { return n / 2; }
template <int V>
struct Packet {
  float data[V + 1];
};
template <class T, int V>
__device__ float sum(const T* from, int count, T value) {
  static const int most = 3 + 4;
  Packet<V * 2> packet;
  float total = 0;
  if constexpr (V > 4) total += 1;
  for (int i = 1; i < count; ++i) total += from[i] * value;
  if (count >= V && !(total == 0)) packet.data[0] = scaled(total, count, most);
  __syncthreads();
  return total;
}
"""

EXPECTED = """an operator by its kin: total += 1 -> total -= 1
a statement dropped: total += 1; ->
one more or less in a bound: 1 -> (1) + 1
a comparison by its neighbour: i < count -> i <= count
a comparison by its neighbour: i < count -> i > count
one more or less in a bound: count -> (count) - 1
an operator by its kin: total += from[i] * value -> total -= from[i] * value
a statement dropped: total += from[i] * value; ->
an operator by its kin: from[i] * value -> from[i] / value
one more or less in an index: i -> (i) + 1
one more or less in an index: i -> (i) - 1
a condition negated: count >= V && !(total == 0) -> !(count >= V && !(total == 0))
an operator by its kin: count >= V && !(total == 0) -> count >= V || !(total == 0)
a comparison by its neighbour: count >= V -> count > V
a comparison by its neighbour: count >= V -> count <= V
one more or less in a bound: V -> (V) - 1
a condition negated: !(total == 0) -> (total == 0)
a comparison by its neighbour: total == 0 -> total != 0
a statement dropped: packet.data[0] = scaled(total, count, most); ->
one more or less in an index: 0 -> (0) + 1
an argument by another of its type: count -> most
an argument by another of its type: most -> count
a barrier dropped: __syncthreads(); ->"""


def run(*arguments):
    return subprocess.run([sys.executable, MECHANICAL, *map(str, arguments)], capture_output=True, text=True, check=False)


class Tree:
    """A source tree with one kernel, and its mutants."""

    def __init__(self, kernel=KERNEL):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        (self.root / "kernels").mkdir()
        (self.root / "kernels/one.cu").write_text(kernel)
        self.said = run("sites", "--source", self.root, "--out", self.root / "sites")

    def mutants(self, name="sites"):
        return [json.loads(line) for line in (self.root / name).read_text().splitlines()]


class Mechanical(unittest.TestCase):
    def setUp(self):
        self.tree = Tree()
        self.addCleanup(self.tree.folder.cleanup)

    def test_every_place_that_runs_and_no_other(self):
        found = [f"{m['kind']}: {m['production']} -> {m['planted']}".strip() for m in self.tree.mutants()]
        self.assertEqual(sorted(found), sorted(EXPECTED.splitlines()))

    def test_a_negation_is_not_dropped_from_what_is_no_bool(self):
        """Beside the production text it would be of another type: `c ? maybe : !maybe` is an engaged optional, and true."""
        tree = Tree("struct Maybe { explicit operator bool() const; };\n"
                    "int f(const Maybe& maybe, const int* place, bool flag) {\n"
                    "  if (!maybe) return 1;\n  if (!place) return 2;\n  if (!flag) return 3;\n  return 0;\n}\n")
        self.addCleanup(tree.folder.cleanup)
        negated = [m["production"] for m in tree.mutants() if m["kind"] == "a condition negated"]
        self.assertEqual(negated, ["!flag"])

    def test_what_a_switch_cannot_be_in_is_counted(self):
        self.assertIn("1 in constexpr functions", self.tree.said.stdout)
        self.assertIn("1 in initialisers of constants and statics", self.tree.said.stdout)

    def test_a_place_is_where_it_says(self):
        for m in self.tree.mutants():
            self.assertEqual(KERNEL[m["begin"]:m["end"]], m["production"])
            self.assertEqual(KERNEL[:m["begin"]].count("\n") + 1, m["line"])

    def test_names_stay_when_lines_move(self):
        moved = Tree("// a comment\n\n" + KERNEL)
        self.addCleanup(moved.folder.cleanup)
        self.assertEqual([m["name"] for m in moved.mutants()], [m["name"] for m in self.tree.mutants()])

    def test_names_differ(self):
        names = [m["name"] for m in self.tree.mutants()]
        self.assertEqual(len(set(names)), len(names))

    def test_a_seed_draws_the_same_sample(self):
        samples = []
        for number, seed in enumerate(("one", "one", "two")):
            out = self.tree.root / f"sample{number}"
            said = run("sample", "--sites", self.tree.root / "sites", "--seed", seed, "--count", 5, "--out", out)
            self.assertEqual(said.returncode, 0, said.stderr)
            samples.append([m["name"] for m in self.tree.mutants(f"sample{number}")])
        self.assertEqual(samples[0], samples[1])
        self.assertNotEqual(samples[0], samples[2])
        self.assertEqual(len(samples[0]), 5)

    def test_a_sample_is_of_those_that_a_case_caught_twice(self):
        names = [m["name"] for m in self.tree.mutants()]
        known, out, hints = (self.tree.root / name for name in ("known.csv", "sample", "hints"))
        rows = [f"{name},caught,smoke,out,{'yes' if number < 3 else ''},v,p" for number, name in enumerate(names[:6])]
        known.write_text("# commit 1234567\nmutant,outcome,suite,check,again,variant,problem\n" + "\n".join(rows) + "\n")
        said = run("sample", "--sites", self.tree.root / "sites", "--known", known, "--seed", "one", "--count", 5, "--out", out,
                   "--hints", hints)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual(sorted(m["name"] for m in self.tree.mutants("sample")), sorted(names[:3]))
        self.assertEqual({h["mutant"]: h["problem"] for h in self.tree.mutants("hints")}, dict.fromkeys(names[:3], "p"))

    def test_a_part_keeps_what_the_compiler_refused(self):
        part = ["part", "--sites", self.tree.root / "sites", "--part", "1/3", "--out", self.tree.root / "part"]
        run(*part)
        first = self.tree.mutants("part")[0]
        (self.tree.root / "part").write_text(json.dumps({**first, "compiles": False}) + "\n")
        run(*part)
        self.assertEqual([m["name"] for m in self.tree.mutants("part") if not m.get("compiles", True)], [first["name"]])

    def test_the_parts_are_all(self):
        names = []
        for part in ("1/3", "2/3", "3/3"):
            run("part", "--sites", self.tree.root / "sites", "--part", part, "--out", self.tree.root / "part")
            names += [m["name"] for m in self.tree.mutants("part")]
        self.assertEqual(sorted(names), sorted(m["name"] for m in self.tree.mutants()))

    def test_what_is_drawn_can_be_planted(self):
        out = self.tree.root / "out"
        planted = subprocess.run([sys.executable, HERE / "plant.py", "--source", self.tree.root, "--out", out, "--mechanical",
                                  self.tree.root / "sites"], capture_output=True, text=True, check=False)
        self.assertEqual(planted.returncode, 0, planted.stderr)
        text = (out / "kernels/one.cu").read_text()
        self.assertIn("(i <= count)", text)
        self.assertIn("U, 1U)) { ; } else { __syncthreads(); } }", text)

    def test_an_error_of_the_compiler_names_its_mutant(self):
        out, log = self.tree.root / "planted", self.tree.root / "log"
        plant = [sys.executable, HERE / "plant.py", "--source", self.tree.root, "--out", out, "--mechanical",
                 self.tree.root / "sites"]
        subprocess.run(plant, check=True)
        lines = (out / "kernels/one.cu").read_text().splitlines()
        wrong = next(number for number, line in enumerate(lines, 1) if "(i <= count)" in line)
        log.write_text(f"/b/planted/kernels/one.cu:{wrong}:3: error: no such operator\n")
        said = run("failures", "--sites", self.tree.root / "sites", "--log", log, "--planted", out)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual([m["planted"] for m in self.tree.mutants() if not m.get("compiles", True)], ["i <= count"])
        subprocess.run(plant, check=True)
        self.assertNotIn("(i <= count)", (out / "kernels/one.cu").read_text())

    def test_sites_of_another_state_of_a_file_are_refused(self):
        (self.tree.root / "kernels/one.cu").write_text("// new\n" + KERNEL)
        planted = subprocess.run([sys.executable, HERE / "plant.py", "--source", self.tree.root, "--out", self.tree.root / "out",
                                  "--mechanical", self.tree.root / "sites"], capture_output=True, text=True, check=False)
        self.assertEqual(planted.returncode, 2)
        self.assertIn("run mechanical.py again", planted.stderr)


if __name__ == "__main__":
    try:
        import clang.cindex
        clang.cindex.Index.create()
    except Exception as missing:  # the module, or its library
        print(f"skipped: python3-clang-14 does not work here ({missing}); scripts/setup.sh --checks installs it")
        sys.exit(77)
    unittest.main()
