#!/usr/bin/env python3
"""mechanical_matrix.py: the rows, the shares and the judgements of a few invented findings."""
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

MATRIX = pathlib.Path(__file__).with_name("mechanical_matrix.py")


def mutant(name, **more):
    return {"name": name, "kind": "a statement dropped", "file": "kernels/device/one.cuh", "line": 3, "function": "f",
            "begin": 0, "end": 4, "production": "f();", "planted": "", "operations": ["weight_quant"], **more}


def finding(name, suite, caught, check=""):
    return {"mutant": name, "device": "host", "suite": suite, "caught": caught, "check": check, "variant": "v" * caught,
            "problem": "p" * caught, "reason": "", "cases": 1, "elements": 0, "seconds": 0}


MUTANTS = [mutant("m_smoke"), mutant("m_tests"), mutant("m_standard"), mutant("m_same"), mutant("m_hole"), mutant("m_new"),
           mutant("m_refused", compiles=False), mutant("m_not_run")]
FOUND = [finding("m_smoke", "smoke", True, "out"), finding("m_standard", "smoke", False),
         finding("m_standard", "standard", True, "codes"), finding("m_same", "standard", False),
         finding("m_tests", "smoke", False), finding("m_tests", "standard", False, "not reached"),
         finding("m_tests", "tests", True, "Rank.Neighbours"), finding("m_same", "tests", False), finding("m_hole", "standard", False), finding("m_new", "standard", False, "not reached")]
AGAIN = [finding("m_smoke", "smoke", True, "out"), finding("m_standard", "smoke", False)]
JUDGED = "# judged\nm_same equivalent the same value\nm_hole hole no case has it\nm_new gpu an instruction\n"


class Matrix(unittest.TestCase):
    def made(self, judged=JUDGED):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, records in (("sites", MUTANTS), ("found", FOUND), ("again", AGAIN)):
                (root / name).write_text("".join(json.dumps(record) + "\n" for record in records))
            (root / "judged").write_text(judged)
            said = subprocess.run([sys.executable, MATRIX, "--sites", root / "sites", "--run", root / "sites", "--found",
                                   root / "found", "--again", root / "again", "--judged", root / "judged", "--about", "commit 1234567", "seed 1",
                                   "--out", root / "out"],
                                  capture_output=True, text=True, check=False)
            if said.returncode == 2:
                return said, {}, ""
            with (root / "out/mechanical.csv").open() as file:
                self.assertEqual([next(file), next(file)], ["# commit 1234567\n", "# seed 1\n"])
                rows = {row["mutant"]: row for row in csv.DictReader(file)}
            return said, rows, (root / "out/mechanical.md").read_text()

    def test_every_mutant_that_ran_has_a_row(self):
        said, rows, _ = self.made()
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual({name: row["outcome"] for name, row in rows.items()},
                         {"m_smoke": "caught", "m_tests": "caught", "m_standard": "caught", "m_same": "equivalent", "m_hole": "hole",
                          "m_new": "GPU only", "m_refused": "does not compile"})
        self.assertEqual((rows["m_standard"]["suite"], rows["m_standard"]["check"]), ("standard", "codes"))
        self.assertEqual((rows["m_tests"]["suite"], rows["m_tests"]["check"]), ("tests", "Rank.Neighbours"))

    def test_only_what_its_case_catches_again_is_for_samples(self):
        rows = self.made()[1]
        self.assertEqual({name: row["again"] for name, row in rows.items() if row["outcome"] == "caught"},
                         {"m_smoke": "yes", "m_tests": "", "m_standard": ""})

    def test_the_share_is_of_those_owed(self):
        self.assertIn("6 run, 1 caught by smoke, 1 by standard, 1 by unit tests, 1 equivalent, 1 a GPU only, 1 holes, "
                      "0 not judged, 50.0% the suites' share of those owed, 75.0% with unit tests", self.made()[0].stdout)

    def test_survivors_are_named_with_what_was_said(self):
        page = self.made()[2]
        self.assertIn("- no case has it:\n  - m_hole device/one.cuh:3 `f();` becomes (nothing)", page)

    def test_one_that_nobody_judged(self):
        said, rows, page = self.made(JUDGED.replace("m_new gpu an instruction\n", ""))
        self.assertEqual(said.returncode, 1)
        self.assertEqual(rows["m_new"]["outcome"], "not judged")
        self.assertIn("## Missed, and not judged yet\n\n- not reached:\n  - m_new", page)

    def test_a_judgement_of_one_that_is_caught(self):
        said, _, _ = self.made(JUDGED + "m_smoke hole it was one\n")
        self.assertEqual(said.returncode, 1)
        self.assertIn("m_smoke is judged, and is caught", said.stderr)

    def test_judgements_that_say_nothing(self):
        for line in ("m_same good because\n", "m_same hole twice\n", "m_x hole\n"):
            self.assertEqual(self.made(JUDGED + line)[0].returncode, 2, line)


if __name__ == "__main__":
    unittest.main()
